// Tensor-core products, the loads that feed them, and asynchronous copies to shared memory: sm_80's instructions, which
// sm_90 runs too. Each has a PTX body and, for the emulator of the tests, one that does what the PTX manual says.
//
// Fragments of mma.m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type"), lane = 4·g + t:
//   a[0] rows g,   k 2t, 2t+1       a[1] rows g+8, k 2t, 2t+1     a[2] rows g, k 2t+8, 2t+9    a[3] rows g+8, k 2t+8,
//   2t+9 b[0] k 2t, 2t+1, column g       b[1] k 2t+8, 2t+9, column g d[0], d[1] row g, columns 2t, 2t+1 d[2], d[3] row
//   g+8, columns 2t, 2t+1
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/dtype.h"

namespace switchyard::cuda {

/// d += a b.   a: [16, 16] bf16, b: [16, 8] bf16, d: [16, 8] f32
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::mma_m16n8k16_bf16(d, a, b);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#if !defined(SWITCHYARD_EMULATED_GPU)
__device__ inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

/// Four 8×8 matrices of 16-bit elements. Lane 8·i + j gives the address of matrix i's row j (16 bytes, aligned); r[i]
/// of lane 4·g + t is matrix i's row g, columns 2t and 2t+1. All lanes of the warp take part.
__device__ inline void load_matrix_x4(uint32_t (&r)[4], const BFloat16* row) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::ldmatrix(r, 4, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// The same, each matrix transposed: r[i] of lane 4·g + t is matrix i's rows 2t and 2t+1, column g.
__device__ inline void load_matrix_x4_transposed(uint32_t (&r)[4], const BFloat16* row) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::ldmatrix(r, 4, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// Copies 16 bytes from global to shared memory, both aligned to 16; zeros when not `valid` (then `from` is not read,
/// but must be a global address). This thread sees them after wait_for_copies, the others after a barrier behind that.
__device__ inline void copy_async_16(void* to, const void* from, bool valid) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::copy_async(to, from, 16, valid);
#else
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
#endif
}

/// Closes the group of this thread's copies since the last one.
__device__ inline void commit_copies() {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::commit_copies();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

/// Waits until at most kGroups of this thread's groups are under way.
template <int kGroups>
__device__ inline void wait_for_copies() {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::wait_for_copies(kGroups);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups) : "memory");
#endif
}

/// Two f32 rounded to nearest even, `low` in the lower half.
__device__ inline uint32_t pack_bf16(float low, float high) {
#if defined(SWITCHYARD_EMULATED_GPU)
  return uint32_t{to_bfloat16(low).bits} | uint32_t{to_bfloat16(high).bits} << 16;
#else
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#endif
}

}  // namespace switchyard::cuda
