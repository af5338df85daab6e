#include "kernels/cpu_isa.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

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

// Not AMX: with oneDNN 2.6's products for it a row's bits depend on its place, and some shapes end in an illegal
// instruction.
constexpr std::array<Isa, 4> kIsas{{{"avx2", dnnl::cpu_isa::avx2},
                                    {"avx512", dnnl::cpu_isa::avx512_core},
                                    {"avx512_vnni", dnnl::cpu_isa::avx512_core_vnni},
                                    {"avx512_bf16", dnnl::cpu_isa::avx512_core_bf16}}};

constexpr auto kNames = [] {
  std::array<std::string_view, kIsas.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kIsas[i].name;
  return names;
}();

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
  return 3;
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
  return &pinned() == &kIsas.back();
}

std::string onednn_version() {
  const dnnl_version_t& v = *dnnl::version();
  return fmt::format("{}.{}.{}+{}", v.major, v.minor, v.patch, v.hash);
}

}  // namespace switchyard
