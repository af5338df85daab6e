#include "kernels/cpu_isa.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <dnnl.hpp>
#include <mutex>

#include "base/error.h"

namespace switchyard {
namespace {

struct Isa {
  std::string_view name;
  dnnl::cpu_isa onednn;
};

constexpr std::array<Isa, 5> kIsas{{{"avx2", dnnl::cpu_isa::avx2},
                                    {"avx512", dnnl::cpu_isa::avx512_core},
                                    {"avx512_vnni", dnnl::cpu_isa::avx512_core_vnni},
                                    {"avx512_bf16", dnnl::cpu_isa::avx512_core_bf16},
                                    {"amx", dnnl::cpu_isa::avx512_core_amx}}};

constexpr size_t kBFloat16Isa = 3;  // this one and the stronger ones multiply bf16 natively

constexpr auto kNames = [] {
  std::array<std::string_view, kIsas.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kIsas[i].name;
  return names;
}();

// AMX takes the CPU (CPUID 7: tile, int8, bf16), a kernel that saves tiles (XCR0 bits 17 and 18), and its permission.
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBFloat16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25, kAll = kBFloat16 | kTile | kInt8;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAll) != kAll) return false;
  constexpr unsigned long long kTileState = 3ull << 17;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return (_xgetbv(0) & kTileState) == kTileState && ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Asked of the CPU, not of oneDNN, whose answer would fix its instruction set before set_cpu_isa can.
size_t detect() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    fail(ExitCode::environment, "CPU: AVX2 and FMA are needed, this CPU lacks them");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return 0;
  if (!__builtin_cpu_supports("avx512vnni")) return 1;
  if (!__builtin_cpu_supports("avx512bf16")) return 2;
  return has_amx() ? 4 : 3;
}

struct Chosen {
  std::mutex mutex;
  const Isa* isa = nullptr;
};

Chosen& chosen() {
  static Chosen value;
  return value;
}

void pin(Chosen& state, size_t index) {
  const Isa& isa = kIsas[index];
  const dnnl::status status = dnnl::set_max_cpu_isa(isa.onednn);
  const dnnl::cpu_isa effective = dnnl::get_effective_cpu_isa();
  if (status != dnnl::status::success || effective != isa.onednn)
    fail(ExitCode::environment, "instruction set {}: oneDNN {} took {:#x} instead of {:#x}", isa.name, onednn_version(),
         static_cast<int>(effective), static_cast<int>(isa.onednn));
  state.isa = &isa;
}

const Isa& pinned() {
  Chosen& state = chosen();
  const std::lock_guard lock(state.mutex);
  if (state.isa == nullptr) pin(state, detect());
  return *state.isa;
}

}  // namespace

std::span<const std::string_view> cpu_isa_names() {
  return kNames;
}

std::string_view detected_cpu_isa() {
  return kNames[detect()];
}

void set_cpu_isa(std::string_view name) {
  const size_t detected = detect();
  size_t index = detected;
  if (name != "auto") {
    index = static_cast<size_t>(std::find(kNames.begin(), kNames.end(), name) - kNames.begin());
    if (index == kNames.size())
      fail(ExitCode::usage, "instruction set: expected auto, {}; got {}", fmt::join(kNames, ", "), name);
  }
  if (index > detected) fail(ExitCode::environment, "instruction set {}: this CPU has only {}", name, kNames[detected]);
  Chosen& state = chosen();
  const std::lock_guard lock(state.mutex);
  if (state.isa == nullptr) pin(state, index);
  if (state.isa != &kIsas[index])
    fail(ExitCode::environment, "instruction set {}: this process already multiplies with {}", kNames[index],
         state.isa->name);
}

std::string_view current_cpu_isa() {
  return pinned().name;
}

bool has_native_bf16() {
  return &pinned() >= &kIsas[kBFloat16Isa];
}

std::string onednn_version() {
  const dnnl_version_t& v = *dnnl::version();
  return fmt::format("{}.{}.{}+{}", v.major, v.minor, v.patch, v.hash);
}

}  // namespace switchyard
