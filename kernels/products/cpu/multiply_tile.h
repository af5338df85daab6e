// Internal to kernels/: the micro-kernel of attention's products.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/vector_math_16.h"

namespace switchyard {

inline constexpr int64_t kTileColumns = 16, kMostMultiplyRows = 12;

/// How a product's left operand lies in memory: [rows, depth], or [depth, rows].
enum class LeftOperand : uint8_t { by_row, by_depth };

/// c [rows, 16] = (or +=) a [rows, depth] · b [depth, 16]: each element one chain of fused multiply-adds in the order
/// of depth, so that neither the number of rows, nor the neighbours, nor the width of a register matter to a row's
/// bits. `a_stride` is that of a as it lies.
using MultiplyTile = void (*)(const float* a, int64_t a_stride, const float* b, int64_t depth, bool accumulate,
                              float* c, int64_t c_stride);

/// By the number of rows less one; as many as keep a CPU's multipliers busy.
std::span<const MultiplyTile> multiply_tiles_avx2(LeftOperand a = LeftOperand::by_row);
std::span<const MultiplyTile> multiply_tiles_avx512(LeftOperand a = LeftOperand::by_row);

/// This CPU's.
inline std::span<const MultiplyTile> multiply_tiles(LeftOperand a = LeftOperand::by_row) {
  return has_avx512() ? multiply_tiles_avx512(a) : multiply_tiles_avx2(a);
}

}  // namespace switchyard
