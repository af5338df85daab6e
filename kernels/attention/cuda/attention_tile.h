// The rows of a block of attention. Included by .cu files only.
#pragma once

#include <cuda_runtime.h>

#include "kernels/attention/cuda/attention.h"

namespace switchyard::cuda {

/// Row r is query head first_head + r % tile_heads at position first_position + r / tile_heads of the record.
class QueryTile {
 public:
  /// The last tiles come first: within a record they have the most keys, and the short ones fill the gaps at the end.
  __device__ QueryTile(const AttentionProblem& problem, unsigned block)
      : heads_(problem.heads), head_dim_(problem.head_dim), tile_heads_(problem.tile_heads) {
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
  /// Keys of the record that the last position sees.
  __device__ int num_keys() const { return first_position_ + num_positions_; }
  __device__ int keys_seen_by(int row) const { return first_position_ + row / tile_heads_ + 1; }

  /// The first element of the row's vector in q and out; −1 for a row that is not there.
  __device__ int64_t element(int row) const {
    const int position = row / tile_heads_, head = row % tile_heads_;
    if (position >= num_positions_ || head >= num_heads_) return -1;
    return ((record_begin_ + first_position_ + position) * heads_ + first_head_ + head) * head_dim_;
  }
  __device__ int64_t record_begin() const { return record_begin_; }
  __device__ int kv_head() const { return kv_head_; }

 private:
  const int heads_, head_dim_, tile_heads_;
  int kv_head_ = 0, first_head_ = 0, num_heads_ = 0;
  int64_t record_begin_ = 0;
  int first_position_ = 0, num_positions_ = 0;
};

/// Elements d … d + 3 of a vector; zeros beyond its end.
__device__ inline float4 load_four(const float* vector, int d, int dim, bool by_fours) {
  if (by_fours && d < dim) return *reinterpret_cast<const float4*>(vector + d);
  const auto at = [&](int i) { return i < dim ? vector[i] : 0.0f; };
  return make_float4(at(d), at(d + 1), at(d + 2), at(d + 3));
}

}  // namespace switchyard::cuda
