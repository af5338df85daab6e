#include "kernels/attention/cuda/attention.h"

namespace switchyard {
namespace {

int padded_to_a_kernel(const AttentionShape& shape) {
  for (const int dim : {32, 64, 128, 256})
    if (shape.head_dim <= dim && (dim > 32 || shape.output == DType::bf16)) return dim;
  fail(ExitCode::environment, "attention on a CUDA device: head_dim is {}, at most 256 is implemented", shape.head_dim);
}

}  // namespace

namespace cuda {

AttentionPlan::AttentionPlan(const AttentionShape& shape)
    : padded_dim(padded_to_a_kernel(shape)), group(static_cast<int>(shape.heads / shape.kv_heads)) {
  const int rows = attention_tile_rows(padded_dim, shape.output);
  parts = (group + rows - 1) / rows;
  tile_heads = (group + parts - 1) / parts;
  tile_positions = rows / tile_heads;
  num_tiles = max_tiles(shape.tokens, shape.records, tile_positions);
  tiles = layout.add(static_cast<size_t>(num_tiles) * sizeof(Tile));
  const int64_t rounded = shape.output == DType::bf16 ? shape.tokens * shape.kv_heads * padded_dim : 0;
  keys = layout.add(static_cast<size_t>(rounded) * sizeof(BFloat16));
  values = layout.add(static_cast<size_t>(rounded) * sizeof(BFloat16));
}

}  // namespace cuda

size_t attention_workspace(const AttentionShape& shape) {
  return cuda::AttentionPlan(shape).layout.bytes();
}

}  // namespace switchyard
