// Internal to kernels/: the micro-kernel of attention's products.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/vector_math_16.h"

namespace switchyard {

inline constexpr int64_t kTileColumns = 16, kMostMultiplyRows = 12;

/// c [rows, 16] = (or +=) a [rows, depth] · b [depth, 16]: each element one chain of fused multiply-adds in the order
/// of depth, so that neither the number of rows, nor the neighbours, nor the width of a register matter to a row's
/// bits.
using MultiplyTile = void (*)(const float* a, int64_t a_stride, const float* b, int64_t depth, bool accumulate,
                              float* c, int64_t c_stride);

/// By the number of rows less one; as many as keep a CPU's multipliers busy.
std::span<const MultiplyTile> multiply_tiles_avx2();
std::span<const MultiplyTile> multiply_tiles_avx512();

/// This CPU's.
inline std::span<const MultiplyTile> multiply_tiles() {
  return has_avx512() ? multiply_tiles_avx512() : multiply_tiles_avx2();
}

}  // namespace switchyard
