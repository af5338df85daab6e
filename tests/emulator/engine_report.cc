// What the engine says of threads that cannot go on, and the functions that device code calls.
#include <fmt/format.h>

#include <bit>
#include <utility>

#include "base/error.h"
#include "engine.h"

namespace switchyard::emulator {
namespace {

const char* name_of(Wait wait) {
  switch (wait) {
    case Wait::nothing:
      return "nothing";
    case Wait::barrier:
      return "__syncthreads";
    case Wait::barrier_or:
      return "__syncthreads_or";
    case Wait::barrier_and:
      return "__syncthreads_and";
    case Wait::barrier_count:
      return "__syncthreads_count";
    case Wait::sync_warp:
      return "__syncwarp";
    case Wait::shuffle:
      return "__shfl_sync";
    case Wait::shuffle_up:
      return "__shfl_up_sync";
    case Wait::shuffle_down:
      return "__shfl_down_sync";
    case Wait::shuffle_xor:
      return "__shfl_xor_sync";
    case Wait::vote:
      return "a vote (__ballot_sync, __any_sync, __all_sync)";
    case Wait::match:
      return "__match_any_sync";
    case Wait::reduce:
      return "a __reduce_…_sync";
    case Wait::mma:
      return "mma";
    case Wait::load_matrix:
      return "ldmatrix";
    case Wait::store_matrix:
      return "stmatrix";
    case Wait::phase:
      return "a phase of a barrier in shared memory";
    case Wait::named_barrier:
      return "a named barrier";
  }
  return "?";
}

bool is_barrier(Wait wait) {
  return wait >= Wait::barrier && wait <= Wait::barrier_count;
}

}  // namespace

void Engine::fail(const std::string& what) const {
  switchyard::fail(ExitCode::internal, "emulated GPU: block ({}, {}, {}), thread {}: {}", blockIdx.x, blockIdx.y,
                   blockIdx.z, current_, what);
}

void Engine::require_running(const char* what) const {
  SWITCHYARD_CHECK(in_kernel_, "{} outside a kernel", what);
}

std::string Engine::describe_wait(unsigned thread) const {
  const Thread& t = threads_[thread];
  const std::string mask = is_barrier(t.wait) ? "" : fmt::format(" with mask {:#010x}", t.mask);
  return fmt::format("waits in {}{} ({}:{})", name_of(t.wait), mask, t.place.file_name(), t.place.line());
}

std::string Engine::describe_fault(const void* address) const {
  if (!in_kernel_) return {};
  const char* what = running_->guards(address) ? "its stack overflows" : "touches memory that is not there";
  return fmt::format("emulated GPU: block ({}, {}, {}), thread {}: {}, at {}\n", blockIdx.x, blockIdx.y, blockIdx.z,
                     current_, what, address);
}

/// Nobody can go on: for the first thread that waits in a barrier, and the first in a warp operation, who is missing.
std::string Engine::describe_stuck() const {
  std::string text = "no thread can go on";
  bool named_barrier = false, named_operation = false;
  for (unsigned t = 0; t < num_threads_; ++t) {
    const Thread& thread = threads_[t];
    if (thread.ended || thread.wait == Wait::nothing) continue;
    bool& named = is_barrier(thread.wait) ? named_barrier : named_operation;
    if (std::exchange(named, true)) continue;
    std::string missing;
    int count = 0;
    const unsigned first = is_barrier(thread.wait) ? 0 : t / 32 * 32;
    const unsigned end = is_barrier(thread.wait) ? num_threads_ : std::min(first + 32, num_threads_);
    for (unsigned other = first; other < end; ++other) {
      const Thread& o = threads_[other];
      const bool here = is_barrier(thread.wait) ? o.ended || is_barrier(o.wait)
                                                : (thread.mask >> (other - first) & 1u) == 0 ||
                                                      (o.wait == thread.wait && o.mask == thread.mask);
      if (!here && ++count <= 4) missing += fmt::format("{}{}", count == 1 ? " " : ", ", other);
    }
    text += fmt::format("; thread {} {} for {} other{}:{}{}", t, describe_wait(t), count, count == 1 ? "" : "s",
                        missing, count > 4 ? ", …" : "");
  }
  return text;
}

int barrier(Wait kind, bool predicate, Place place) {
  return Engine::get().barrier(kind, predicate, place);
}

void warp_operation(Wait kind, unsigned mask, void* arguments, Complete complete, Place place) {
  Engine::get().warp_operation(kind, mask, arguments, complete, place);
}

void yield() {
  Engine::get().yield();
}

void fail_in_kernel(const char* what) {
  Engine::get().fail(what);
}

void set_schedule(uint64_t seed) {
  Engine::get().set_schedule(seed);
}

void set_race_check(bool on) {
  Engine::get().set_race_check(on);
}

}  // namespace switchyard::emulator
