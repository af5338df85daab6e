// Logits that are summed up where they are computed, and never stored. Columns 16 u to 16 u + 15 of a row are a unit:
// each kernel sums up its units within a warp, in one order for all of its tiles, and units join in order to a
// LogitSum. Included by .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <type_traits>

#include "kernels/cuda/shared.h"
#include "kernels/cuda/warp.h"
#include "kernels/products/cuda/product_kernel.h"

namespace switchyard::cuda {

/// T: the products' operand.
template <class T>
inline constexpr int kLogitSumColumns = static_cast<int>(logit_sum_columns(DTypeOf<T>::value));
inline constexpr int kUnitColumns = 16;

/// Of no column: behind all others where maxima are equal.
__device__ inline LogitSum no_logits() {
  return {std::numeric_limits<float>::lowest(), 0, std::numeric_limits<int32_t>::max()};
}

/// 0 · logit is NaN of a logit that is not finite, and nothing otherwise. The maximum is never NaN: fmaxf takes the
/// other. there: whether the vocabulary has the column; what pads it has the logit 0.
__device__ inline LogitSum sum_of_logit(float logit, int32_t column, bool there) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  return {there ? fmaxf(logit, kLowest) : kLowest, fmaf(logit, 0.0f, there ? 1.0f : 0.0f), column};
}

/// The same both ways round. T: float: its exponential to its last bits; BFloat16: the hardware's (2^-21).
template <class T>
__device__ inline LogitSum join(const LogitSum& a, const LogitSum& b) {
  const bool second = b.max > a.max || (b.max == a.max && b.column < a.column);
  const float max = second ? b.max : a.max, sum = second ? b.sum : a.sum;
  const float below = (second ? a.max : b.max) - max, joining = second ? a.sum : b.sum;
  const float factor = std::is_same_v<T, float> ? expf(below) : fast_exp(below);
  return {max, fmaf(joining, factor, sum), second ? b.column : a.column};
}

__device__ inline LogitSum either(bool first, const LogitSum& a, const LogitSum& b) {
  return {first ? a.max : b.max, first ? a.sum : b.sum, first ? a.column : b.column};
}

__device__ inline LogitSum of_other_lane(const LogitSum& sum, int lane_mask) {
  return {__shfl_xor_sync(kAllLanes, sum.max, lane_mask), __shfl_xor_sync(kAllLanes, sum.sum, lane_mask),
          __shfl_xor_sync(kAllLanes, sum.column, lane_mask)};
}

/// The column whose logit a row of y wants; −1 of one that is not there.
__device__ inline int32_t target_of(const ProductKernel& p, int64_t row) {
  const int32_t target = p.targets[row];
  return target < p.n ? target : -1;
}

/// Where that logit is to go.
class TargetLogit {
 public:
  /// Of entry `r` of a tile, which may lie beyond its last.
  __device__ TargetLogit(const ProductKernel& p, const Tile& tile, int r) {
    if (r >= tile.rows) return;
    const int64_t row = output_row_of(p, tile.first + r);
    column_ = target_of(p, row);
    to_ = p.target_logits + row;
  }
  __device__ void meet(float logit, int32_t column) const {
    if (column == column_) *to_ = logit;
  }

 private:
  int32_t column_ = -1;
  float* to_ = nullptr;
};

/// units: [kColumns / 16, kRows], of the tile's columns from first_column on. By `threads` threads, once all of them
/// are written.
template <class T, int kRows, int kColumns>
__device__ inline void write_logit_sums(const ProductKernel& p, const Tile& tile, const SharedArray<LogitSum>& units,
                                        int first_column, int thread, int threads) {
  constexpr int kUnits = kLogitSumColumns<T> / kUnitColumns;
  for (int i = thread; i < kColumns / kLogitSumColumns<T> * kRows; i += threads) {
    const int r = i % kRows, first_unit = i / kRows * kUnits, column = first_column + first_unit * kUnitColumns;
    if (r >= tile.rows || column >= p.n) continue;
    auto sum = units.load<LogitSum>(first_unit * kRows + r);
    for (int u = 1; u < kUnits; ++u) sum = join<T>(sum, units.load<LogitSum>((first_unit + u) * kRows + r));
    static_cast<LogitSum*>(p.y)[column / kLogitSumColumns<T> * p.y_stride + output_row_of(p, tile.first + r)] = sum;
  }
}

}  // namespace switchyard::cuda
