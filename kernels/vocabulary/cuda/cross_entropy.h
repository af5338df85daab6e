// How cross_entropy divides its work on a CUDA device. Plain C++: memory is planned in every build.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/products/cuda/product.h"
#include "kernels/scratch.h"

namespace switchyard::cuda {

/// Logits are summed up where they are computed, for some rows at a time: of each row exist its LogitSums, and the
/// logit of its target.
struct CrossEntropyPlan {
  static constexpr int64_t kLeastRows = 256, kMostRows = 2048;
  static constexpr int64_t kMostSums = int64_t{4} << 20;  // 64 MiB

  CrossEntropyPlan(int64_t rows, int64_t vocab, DType operand)
      : sums_of_row((vocab + logit_sum_columns(operand) - 1) / logit_sum_columns(operand)) {
    const auto fit = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(kMostSums / sums_of_row)));
    block_rows = std::min(rows, std::clamp(fit, kLeastRows, kMostRows));
    sums = layout.add(static_cast<size_t>(sums_of_row * block_rows) * sizeof(LogitSum));
    target_logits = layout.add(static_cast<size_t>(block_rows) * sizeof(float));
  }

  int64_t sums_of_row, block_rows;
  ScratchLayout layout;  ///< of the workspace:
  size_t sums;           ///< [sums_of_row, block_rows] LogitSum
  size_t target_logits;  ///< [block_rows] f32
};

}  // namespace switchyard::cuda
