// wgmma.m64nNk16: a warpgroup multiplies slabs of two matrices that lie in shared memory.
//
// A slab (slab.h) begins at a multiple of 1024 bytes.
//
// Sums (PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16", matrix D): warp w of the warpgroup, lane 4·g + t,
// has of columns 8j + 2t and 8j + 2t + 1:  d[4j], d[4j+1] of row 16w + g;  d[4j+2], d[4j+3] of row 16w + g + 8.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/dtype.h"
#include "kernels/cuda/slab.h"
#include "kernels/cuda/tensor_core.h"

namespace switchyard::cuda {

inline constexpr int kMostWidth = 256;  ///< N
using WarpgroupSums = float[kMostWidth / 2];

/// Before the first product behind writes to the sums, or to registers that products used.
__device__ inline void fence_products() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}

/// Closes the group of products since the last one.
__device__ inline void commit_products() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}

/// Waits until at most kGroups of this warpgroup's groups are under way.
template <int kGroups>
__device__ inline void wait_for_products() {
#if !defined(SWITCHYARD_EMULATED_GPU)
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kGroups) : "memory");
#endif
}

#if !defined(SWITCHYARD_EMULATED_GPU)
namespace wgmma {

/// Swizzle of 128 bytes, 1024 bytes from 8 rows to the next 8.
__device__ inline uint64_t descriptor(const BFloat16* slab) {
  return static_cast<uint64_t>((shared_address(slab) & 0x3ffff) >> 4) | uint64_t{1} << 16 | uint64_t{64} << 32 |
         uint64_t{1} << 62;
}

template <int kN>
struct Instruction;

// clang-format off
// An instruction names each of its N / 2 registers.
#define SWITCHYARD_R4(a, b, c, d) "%" #a ", %" #b ", %" #c ", %" #d
#define SWITCHYARD_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SWITCHYARD_D16(i) SWITCHYARD_D4(i), SWITCHYARD_D4(i + 4), SWITCHYARD_D4(i + 8), SWITCHYARD_D4(i + 12)
#define SWITCHYARD_R16_0 \
  SWITCHYARD_R4(0, 1, 2, 3) ", " SWITCHYARD_R4(4, 5, 6, 7) ", " SWITCHYARD_R4(8, 9, 10, 11) ", " SWITCHYARD_R4(12, 13, 14, 15)
#define SWITCHYARD_R16_1 \
  SWITCHYARD_R4(16, 17, 18, 19) ", " SWITCHYARD_R4(20, 21, 22, 23) ", " SWITCHYARD_R4(24, 25, 26, 27) ", " SWITCHYARD_R4(28, 29, 30, 31)
#define SWITCHYARD_R16_2 \
  SWITCHYARD_R4(32, 33, 34, 35) ", " SWITCHYARD_R4(36, 37, 38, 39) ", " SWITCHYARD_R4(40, 41, 42, 43) ", " SWITCHYARD_R4(44, 45, 46, 47)
#define SWITCHYARD_R16_3 \
  SWITCHYARD_R4(48, 49, 50, 51) ", " SWITCHYARD_R4(52, 53, 54, 55) ", " SWITCHYARD_R4(56, 57, 58, 59) ", " SWITCHYARD_R4(60, 61, 62, 63)
#define SWITCHYARD_R16_4 \
  SWITCHYARD_R4(64, 65, 66, 67) ", " SWITCHYARD_R4(68, 69, 70, 71) ", " SWITCHYARD_R4(72, 73, 74, 75) ", " SWITCHYARD_R4(76, 77, 78, 79)
#define SWITCHYARD_R16_5 \
  SWITCHYARD_R4(80, 81, 82, 83) ", " SWITCHYARD_R4(84, 85, 86, 87) ", " SWITCHYARD_R4(88, 89, 90, 91) ", " SWITCHYARD_R4(92, 93, 94, 95)
#define SWITCHYARD_R16_6 \
  SWITCHYARD_R4(96, 97, 98, 99) ", " SWITCHYARD_R4(100, 101, 102, 103) ", " SWITCHYARD_R4(104, 105, 106, 107) ", " SWITCHYARD_R4(108, 109, 110, 111)
#define SWITCHYARD_R16_7 \
  SWITCHYARD_R4(112, 113, 114, 115) ", " SWITCHYARD_R4(116, 117, 118, 119) ", " SWITCHYARD_R4(120, 121, 122, 123) ", " SWITCHYARD_R4(124, 125, 126, 127)
/// `a`, `b`: the numbers of the operands behind the registers.
#define SWITCHYARD_WGMMA(n, registers, a_operand, b_operand, ...)                                                    \
  template <>                                                                                                        \
  struct Instruction<n> {                                                                                            \
    static __device__ __forceinline__ void run(WarpgroupSums& d, uint64_t a, uint64_t b) {                           \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" registers "}, %" #a_operand ", %" #b_operand \
                   ", 1, 1, 1, 0, 0;\n"                                                                              \
                   : __VA_ARGS__                                                                                     \
                   : "l"(a), "l"(b));                                                                                \
    }                                                                                                                \
  };
#define SWITCHYARD_R32 SWITCHYARD_R16_0 ", " SWITCHYARD_R16_1
#define SWITCHYARD_R64 SWITCHYARD_R32 ", " SWITCHYARD_R16_2 ", " SWITCHYARD_R16_3
#define SWITCHYARD_R96 SWITCHYARD_R64 ", " SWITCHYARD_R16_4 ", " SWITCHYARD_R16_5
#define SWITCHYARD_D32 SWITCHYARD_D16(0), SWITCHYARD_D16(16)
#define SWITCHYARD_D64 SWITCHYARD_D32, SWITCHYARD_D16(32), SWITCHYARD_D16(48)
#define SWITCHYARD_D96 SWITCHYARD_D64, SWITCHYARD_D16(64), SWITCHYARD_D16(80)
SWITCHYARD_WGMMA(8, SWITCHYARD_R4(0, 1, 2, 3), 4, 5, SWITCHYARD_D4(0))
SWITCHYARD_WGMMA(16, SWITCHYARD_R4(0, 1, 2, 3) ", " SWITCHYARD_R4(4, 5, 6, 7), 8, 9, SWITCHYARD_D4(0), SWITCHYARD_D4(4))
SWITCHYARD_WGMMA(32, SWITCHYARD_R16_0, 16, 17, SWITCHYARD_D16(0))
SWITCHYARD_WGMMA(64, SWITCHYARD_R32, 32, 33, SWITCHYARD_D32)
SWITCHYARD_WGMMA(96, SWITCHYARD_R32 ", " SWITCHYARD_R16_2, 48, 49, SWITCHYARD_D32, SWITCHYARD_D16(32))
SWITCHYARD_WGMMA(128, SWITCHYARD_R64, 64, 65, SWITCHYARD_D64)
SWITCHYARD_WGMMA(192, SWITCHYARD_R96, 96, 97, SWITCHYARD_D96)
SWITCHYARD_WGMMA(256, SWITCHYARD_R96 ", " SWITCHYARD_R16_6 ", " SWITCHYARD_R16_7, 128, 129, SWITCHYARD_D96,
                 SWITCHYARD_D16(96), SWITCHYARD_D16(112))

// clang-format on

}  // namespace wgmma
#endif

/// d += a bᵀ over columns 16·step to 16·step + 15 of both slabs.   a: 64 rows, b: kN rows, d: [64, kN] f32.
/// All threads of a warpgroup; asynchronous: a, b and d are this product's until wait_for_products().
template <int kN>
__device__ inline void multiply_slabs(WarpgroupSums& d, const BFloat16* a, const BFloat16* b, int step) {
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::wgmma_m64k16_bf16(d, kN, a, b, step);
#else
  constexpr int kStep = 16 * 2 / 16;  // of a descriptor's address, in units of 16 bytes
  wgmma::Instruction<kN>::run(d, wgmma::descriptor(a) + static_cast<uint64_t>(step * kStep),
                              wgmma::descriptor(b) + static_cast<uint64_t>(step * kStep));
#endif
}

}  // namespace switchyard::cuda
