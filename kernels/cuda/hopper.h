// Hopper's own instructions (sm_90a): barriers in shared memory, bulk copies, and what a kernel needs whose warpgroups
// do different work. Each has a PTX body and, for the emulator of the tests, one that does what the PTX manual says.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/dtype.h"
#include "kernels/cuda/tensor_core.h"

namespace switchyard::cuda {

inline constexpr int kWarpgroup = 128;  ///< threads

/// A barrier's phase ends when `count` arrivals have come, and all bytes that were announced; the next one begins then.
/// By one thread, before a barrier of the block.
__device__ inline void init_phases(uint64_t* barrier, int count) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::init_phases(barrier, count);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(count) : "memory");
#endif
}

/// Makes init_phases() visible to asynchronous copies.
__device__ inline void publish_phases() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
#endif
}

__device__ inline void arrive(uint64_t* barrier) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::arrive(barrier, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier)) : "memory");
#endif
}

/// The same, and announces the bytes of a bulk copy.
__device__ inline void arrive_expecting(uint64_t* barrier, int bytes) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::arrive(barrier, bytes);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}

/// Returns when the phase of this parity has ended: of a new barrier 1 has, 0 has not.
__device__ inline void wait_for_phase(uint64_t* barrier, uint32_t parity) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::wait_for_phase(barrier, parity);
#else
  asm volatile(
      "{\n.reg .pred ended;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n@ended bra done;\n"
      "bra again;\ndone:\n}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}

/// Copies bytes (a multiple of 16, as both addresses) from global to shared memory; the barrier counts them.
__device__ inline void copy_bulk(void* to, const void* from, int bytes, uint64_t* barrier) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::copy_bulk(to, from, bytes, barrier);
#else
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
#endif
}

/// Behind what this thread wrote to shared memory, before it tells others that warpgroup products may read it.
__device__ inline void fence_for_products() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

/// A barrier of `threads` threads of the block, whole warps; `id`: 1 to 15.
__device__ inline void named_barrier(int id, int threads) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::named_barrier(id, threads);
#else
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
#endif
}

/// The registers that each thread of this warpgroup may use from here on: fewer, or more that others gave back.
template <int kRegisters>
__device__ inline void give_back_registers() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
__device__ inline void take_registers() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
#endif
}

/// Two 8×8 matrices of 16-bit elements to shared memory, transposed: lane 8·i + j (i < 2) gives the address of row j of
/// what matrix i becomes (16 bytes, aligned); the pair of lane 4·g + t comes to rows 2t and 2t+1, column g.
__device__ inline void store_matrix_x2_transposed(BFloat16* row, uint32_t first, uint32_t second) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::store_matrix_x2_transposed(row, first, second);
#else
  asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};\n" ::"r"(shared_address(row)),
               "r"(first), "r"(second)
               : "memory");
#endif
}

__device__ inline void prefetch_to_l2([[maybe_unused]] const void* from) {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(from));
#endif
}

}  // namespace switchyard::cuda
