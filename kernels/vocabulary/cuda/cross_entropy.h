// How cross_entropy divides its work on a CUDA device. Plain C++: memory is planned in every build.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/scratch.h"

namespace switchyard::cuda {

/// Logits exist for some rows × some columns of the vocabulary at a time. Segments of kSegment columns are summed up
/// one by one and added in order, however many of them a product yields at once: that depends on the number of rows.
struct CrossEntropyPlan {
  static constexpr int64_t kSegment = 4096;
  static constexpr int64_t kMostRows = 2048;
  static constexpr int64_t kMostLogits = kMostRows * kSegment;  // 32 MiB: they stay in the cache of a large GPU

  /// What is kept of a row's logits so far: Σ e^(logit − max), and where the maximum is.
  struct RowState {
    float max, sum, target_logit;
    int32_t argmax;
  };

  CrossEntropyPlan(int64_t rows, int64_t vocab)
      : block_rows(std::min(rows, kMostRows)), padded_vocab((vocab + kSegment - 1) / kSegment * kSegment) {
    states = layout.add(static_cast<size_t>(block_rows) * sizeof(RowState));
    // The most that any smaller number of rows takes, too.
    logits = layout.add(static_cast<size_t>(std::min(kMostLogits, block_rows * padded_vocab)) * sizeof(float));
  }
  /// Columns of a product with `rows` rows, at most block_rows; whole segments.
  int64_t columns(int64_t rows) const { return std::min(padded_vocab, kMostLogits / (rows * kSegment) * kSegment); }

  int64_t block_rows, padded_vocab;
  ScratchLayout layout;  ///< of the workspace:
  size_t states;         ///< [block_rows] RowState
  size_t logits;         ///< [rows, columns(rows)] f32
};

}  // namespace switchyard::cuda
