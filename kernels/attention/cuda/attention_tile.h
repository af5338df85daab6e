// The rows of a block of attention. Included by .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <numbers>

#include "kernels/attention/cuda/attention.h"

namespace switchyard::cuda {

/// Row r is query head first_head + r % tile_heads at position first_position + r / tile_heads of the record.
class QueryTile {
 public:
  /// The last tiles come first: within a record they have the most keys, and the short ones fill the gaps at the end.
  __device__ QueryTile(const AttentionProblem& problem, unsigned block)
      : problem_(problem), tile_heads_(problem.tile_heads) {
    const int slots = problem.kv_heads * problem.parts;
    const int slot = static_cast<int>(block % static_cast<unsigned>(slots));
    const Tile tile = problem.tiles[problem.num_tiles - 1 - static_cast<int>(block / static_cast<unsigned>(slots))];
    if (tile.group < 0) return;
    const int first_of_group = slot % problem.parts * tile_heads_;
    kv_head_ = slot / problem.parts;
    first_head_ = kv_head_ * problem.group + first_of_group;
    num_heads_ = problem.group - first_of_group < tile_heads_ ? problem.group - first_of_group : tile_heads_;
    record_begin_ = problem.offsets[tile.group];
    first_position_ = static_cast<int>(tile.first - record_begin_);
    num_positions_ = tile.rows;
  }
  __device__ bool empty() const { return num_positions_ == 0; }
  /// The record's keys up to the last position.
  __device__ int num_keys() const { return first_position_ + num_positions_; }
  /// A row sees the record's keys [first_key_of, keys_seen_by).
  __device__ int keys_seen_by(int row) const { return first_position_ + row / tile_heads_ + 1; }
  __device__ int first_key_of(int row) const {
    return static_cast<int>(problem_.span.first_key(first_position_ + row / tile_heads_));
  }
  /// The first key that any row sees, down to the first of its block.
  __device__ int first_key(int block_keys) const { return first_key_of(0) / block_keys * block_keys; }

  /// Which vector of q and out is the row's; −1 for a row that is not there.
  __device__ int64_t vector(int row) const {
    const int position = row / tile_heads_, head = row % tile_heads_;
    if (position >= num_positions_ || head >= num_heads_) return -1;
    return (record_begin_ + first_position_ + position) * problem_.heads + first_head_ + head;
  }
  /// Where a row's maximum begins, an exponent of two: at its head's sink, which is a key before all others with a
  /// value of zero. Finite: a row that sees no key of its first block shall get no ∞ − ∞.
  __device__ float first_top(int row) const {
    constexpr float kLowest = std::numeric_limits<float>::lowest();
    const int head = row % tile_heads_;
    if (problem_.sinks == nullptr || head >= num_heads_) return kLowest;
    const float sink = problem_.sinks[first_head_ + head] * std::numbers::log2e_v<float>;
    return sink < kLowest ? kLowest : sink;
  }
  /// What is in a row's sum by then.
  __device__ float first_total() const { return problem_.sinks == nullptr ? 0 : 1; }
  __device__ int64_t record_begin() const { return record_begin_; }
  __device__ int kv_head() const { return kv_head_; }

 private:
  const AttentionProblem& problem_;
  const int tile_heads_;
  int kv_head_ = 0, first_head_ = 0, num_heads_ = 0;
  int64_t record_begin_ = 0;
  int first_position_ = 0, num_positions_ = 0;
};

}  // namespace switchyard::cuda
