// Attention on a CUDA device, internally: how the work is divided into blocks, and the kernels of both precisions.
// AttentionPlan is plain C++: memory is planned in every build.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/products/cuda/tile_table.h"
#include "kernels/scratch.h"

namespace switchyard::cuda {

/// Elements of a query's or key's vector, and of a value's.
struct AttentionSizes {
  int head_dim, value_dim;
};

/// Rows of a block of the kernel for vectors of these sizes.
constexpr int attention_tile_rows(const AttentionSizes& padded, DType output) {
  return output == DType::bf16 && padded.value_dim <= 128 ? 128 : 64;
}

/// A block has the queries of some positions of a record × some query heads of one key-value head for its rows: they
/// share the keys and values that the block reads, and even a short record fills a block. Positions are counted from
/// the record's start, so that a row's place in its block depends on the record alone.
struct AttentionPlan {
  AttentionPlan(ConstView q, ConstView k, ConstView v, ConstView record_offsets, DType output);

  AttentionSizes padded;  ///< filled up with zeros to sizes that a kernel is made for
  int group;              ///< query heads of a key-value head
  int parts;              ///< into which these are divided, one after the other, when a block has fewer rows
  int tile_heads;         ///< query heads of a block, of which the last part may miss some
  int tile_positions;     ///< positions of a block
  int64_t num_tiles;      ///< at most, see max_tiles

  ScratchLayout layout;  ///< of the workspace:
  size_t tiles;          ///< [num_tiles] Tile
};

/// What the kernels get.
struct AttentionProblem {
  const void *q, *k, *v;  ///< f32 or bf16
  const float* sinks;     ///< null: none
  const int64_t* offsets;
  const Tile* tiles;
  int num_tiles;
  KeySpan span;
  int heads, kv_heads;
  AttentionSizes size;
  int group, parts, tile_heads;
  float factor;    ///< attention_factor(scale), for f32
  bool by_pieces;  ///< q, k, v and out can be read and written in pieces of 16 bytes
};

void attention_f32(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, float* out);
void attention_bf16(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, BFloat16* out);

}  // namespace switchyard::cuda
