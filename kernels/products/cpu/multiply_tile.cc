#include "kernels/products/cpu/multiply_tile.h"

#include <array>
#include <utility>

namespace switchyard {
namespace {

template <LeftOperand kLeft>
int64_t offset_of(int64_t row, int64_t depth, int64_t stride) {
  return kLeft == LeftOperand::by_row ? row * stride + depth : depth * stride + row;
}

template <LeftOperand kLeft, int Rows>
void multiply_tile_avx2(const float* a, int64_t a_stride, const float* b, int64_t depth, bool accumulate, float* c,
                        int64_t c_stride) {
  F32x8 sum[Rows][2];
  for (int r = 0; r < Rows; ++r) {
    sum[r][0] = accumulate ? load(c + r * c_stride) : broadcast(0);
    sum[r][1] = accumulate ? load(c + r * c_stride + kLanes) : broadcast(0);
  }
  for (int64_t i = 0; i < depth; ++i) {
    const F32x8 b0 = load(b + i * kTileColumns), b1 = load(b + i * kTileColumns + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const F32x8 ar = broadcast(a[offset_of<kLeft>(r, i, a_stride)]);
      sum[r][0] = fma(ar, b0, sum[r][0]);
      sum[r][1] = fma(ar, b1, sum[r][1]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    store(c + r * c_stride, sum[r][0]);
    store(c + r * c_stride + kLanes, sum[r][1]);
  }
}

template <LeftOperand kLeft, int Rows>
SWITCHYARD_AVX512 void multiply_tile_avx512(const float* a, int64_t a_stride, const float* b, int64_t depth,
                                            bool accumulate, float* c, int64_t c_stride) {
  __m512 sum[Rows];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) sum[r] = accumulate ? _mm512_loadu_ps(c + r * c_stride) : _mm512_setzero_ps();
  for (int64_t i = 0; i < depth; ++i) {
    const __m512 row = _mm512_loadu_ps(b + i * kTileColumns);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
      sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[offset_of<kLeft>(r, i, a_stride)]), row, sum[r]);
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) _mm512_storeu_ps(c + r * c_stride, sum[r]);
}

template <LeftOperand kLeft, size_t... I>
constexpr auto tiles_avx2(std::index_sequence<I...>) {
  return std::array<MultiplyTile, sizeof...(I)>{multiply_tile_avx2<kLeft, static_cast<int>(I) + 1>...};
}

template <LeftOperand kLeft, size_t... I>
constexpr auto tiles_avx512(std::index_sequence<I...>) {
  return std::array<MultiplyTile, sizeof...(I)>{multiply_tile_avx512<kLeft, static_cast<int>(I) + 1>...};
}

}  // namespace

std::span<const MultiplyTile> multiply_tiles_avx2(LeftOperand a) {
  constexpr std::make_index_sequence<6> kSizes;  // 6 × 16 sums fill twelve of sixteen registers
  static constexpr auto kByRow = tiles_avx2<LeftOperand::by_row>(kSizes);
  static constexpr auto kByDepth = tiles_avx2<LeftOperand::by_depth>(kSizes);
  return a == LeftOperand::by_row ? kByRow : kByDepth;
}

std::span<const MultiplyTile> multiply_tiles_avx512(LeftOperand a) {
  constexpr std::make_index_sequence<kMostMultiplyRows> kSizes;
  static constexpr auto kByRow = tiles_avx512<LeftOperand::by_row>(kSizes);
  static constexpr auto kByDepth = tiles_avx512<LeftOperand::by_depth>(kSizes);
  return a == LeftOperand::by_row ? kByRow : kByDepth;
}

}  // namespace switchyard
