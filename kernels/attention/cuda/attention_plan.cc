#include "kernels/attention/cuda/attention.h"

namespace switchyard::cuda {
namespace {

// What attention_f32 and attention_bf16 are made for, the smallest first. DeepSeek-V3's heads have a kernel of their
// own.
constexpr AttentionSizes kKernels[] = {{32, 32}, {64, 64}, {128, 128}, {192, 128}, {256, 256}};

AttentionSizes padded_to_a_kernel(int64_t head_dim, int64_t value_dim, DType output) {
  for (const AttentionSizes& sizes : kKernels)
    if (head_dim <= sizes.head_dim && value_dim <= sizes.value_dim && (sizes.head_dim > 32 || output == DType::bf16))
      return sizes;
  fail(ExitCode::environment,
       "attention on a CUDA device: head_dim is {}, that of values {}; at most 256 is implemented", head_dim,
       value_dim);
}

}  // namespace

AttentionPlan::AttentionPlan(ConstView q, ConstView k, ConstView v, ConstView record_offsets, DType output)
    : padded(padded_to_a_kernel(q.shape[2], v.shape[2], output)), group(static_cast<int>(q.shape[1] / k.shape[1])) {
  const int rows = attention_tile_rows(padded, output);
  parts = (group + rows - 1) / rows;
  tile_heads = (group + parts - 1) / parts;
  tile_positions = rows / tile_heads;
  num_tiles = max_tiles(q.rows(), record_offsets.elements() - 1, tile_positions);
  tiles = layout.add(static_cast<size_t>(num_tiles) * sizeof(Tile));
}

size_t attention_bytes(ConstView q, ConstView k, ConstView v, ConstView record_offsets, const KeySpan&, ConstView,
                       float, View, View out) {
  return AttentionPlan(q, k, v, record_offsets, out.dtype).layout.bytes();
}

}  // namespace switchyard::cuda
