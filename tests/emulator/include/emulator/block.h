// A block's threads: where each is, and the barriers of the block. Kernels start with launch().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#include "emulator/vector_types.h"

struct CUstream_st;

// Of the thread that runs now.
inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim;
inline constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace switchyard::emulator {

using Place = std::source_location;

/// Runs kernel() for every thread of the grid, in the stream's order. A wrong configuration becomes the runtime's last
/// error, as after <<<>>>; a fault of the kernel is thrown (Error, internal) from here, or in deferred mode from the
/// call that waits.
void launch(CUstream_st* stream, dim3 grid, unsigned threads, size_t shared_bytes, std::function<void()> kernel);

/// Runnable threads, and blocks, take turns in an order drawn from the seed; 0: in the order of their numbers. At first
/// SWITCHYARD_EMULATED_SCHEDULE says it. For launches of the calling OS thread.
void set_schedule(uint64_t seed);

/// Deferred mode: work waits until somebody asks for its results, and streams take turns in an order drawn from the
/// seed, so that a missing wait between two streams shows. 0: work is done when it is given. At first
/// SWITCHYARD_EMULATED_DEFER says it. For the whole process; no work may be under way.
void set_deferred(uint64_t seed);

/// What threads wait for.
enum class Wait : uint8_t {
  nothing,
  barrier,
  barrier_or,
  barrier_and,
  barrier_count,
  sync_warp,
  shuffle,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  vote,
  match,
  reduce,
  mma,
  load_matrix,
  store_matrix,
  phase,
  named_barrier
};

/// Returns when all threads of the block that have not ended are here; how many of them came with a true predicate.
int barrier(Wait kind, bool predicate, Place place);

/// Returns when all lanes of the mask are here with the same kind and mask. The last to come calls
/// complete(arguments of lane 0 … 31), which may write to the arguments of all lanes in the mask.
using Complete = void (*)(void* const* lanes, unsigned mask);
void warp_operation(Wait kind, unsigned mask, void* arguments, Complete complete, Place place);

/// Lets the other threads go first.
void yield();

/// Throws Error(internal) that names the running block and thread.
[[noreturn]] void fail_in_kernel(const char* what);

inline int lane() {
  return static_cast<int>(threadIdx.x % 32);
}

}  // namespace switchyard::emulator

inline void __syncthreads(switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::barrier(switchyard::emulator::Wait::barrier, false, place);
}
inline int __syncthreads_or(int predicate, switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::barrier(switchyard::emulator::Wait::barrier_or, predicate != 0, place) != 0;
}
inline int __syncthreads_and(int predicate,
                             switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::barrier(switchyard::emulator::Wait::barrier_and, predicate == 0, place) == 0;
}
inline int __syncthreads_count(int predicate,
                               switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::barrier(switchyard::emulator::Wait::barrier_count, predicate != 0, place);
}
[[noreturn]] inline void __trap() {
  switchyard::emulator::fail_in_kernel("__trap()");
}
inline void __nanosleep(unsigned) {
  switchyard::emulator::yield();
}
inline void __threadfence() {}
inline void __threadfence_block() {}
