#include "kernels/attention/cuda/attention.h"

namespace switchyard::cuda {
namespace {

int padded_to_a_kernel(int64_t head_dim, DType output) {
  for (const int dim : {32, 64, 128, 256})
    if (head_dim <= dim && (dim > 32 || output == DType::bf16)) return dim;
  fail(ExitCode::environment, "attention on a CUDA device: head_dim is {}, at most 256 is implemented", head_dim);
}

}  // namespace

AttentionPlan::AttentionPlan(ConstView q, ConstView k, ConstView record_offsets, DType output)
    : padded_dim(padded_to_a_kernel(q.shape[2], output)), group(static_cast<int>(q.shape[1] / k.shape[1])) {
  const int rows = attention_tile_rows(padded_dim, output);
  parts = (group + rows - 1) / rows;
  tile_heads = (group + parts - 1) / parts;
  tile_positions = rows / tile_heads;
  num_tiles = max_tiles(q.rows(), record_offsets.elements() - 1, tile_positions);
  tiles = layout.add(static_cast<size_t>(num_tiles) * sizeof(Tile));
  const int64_t rounded = output == DType::bf16 ? k.rows() * k.shape[1] * padded_dim : 0;
  keys = layout.add(static_cast<size_t>(rounded) * sizeof(BFloat16));
  values = layout.add(static_cast<size_t>(rounded) * sizeof(BFloat16));
}

size_t attention_bytes(ConstView q, ConstView k, ConstView, ConstView record_offsets, float, View out) {
  return AttentionPlan(q, k, record_offsets, out.dtype).layout.bytes();
}

}  // namespace switchyard::cuda
