#pragma once

#include "kernels/op.h"

namespace switchyard {

/// Causal grouped-query attention within each record, softmax(scale · q kᵀ) v, blocked with an online softmax: never
/// more than a tile of scores exists. Query head h uses key-value head h / (heads / kv_heads).
///   q: [tokens, heads, head_dim] f32; k, v: [tokens, kv_heads, head_dim] f32
///   record_offsets: [records + 1] i64, from 0 to tokens, non-decreasing (checked on the CPU only)
///   out: [tokens, heads, head_dim] f32|bf16
/// Arithmetic in f32. On a CUDA device with a bf16 result the products are bf16's: q, k, v and the probabilities are
/// rounded, sums are f32. There head_dim is at most 256.
using AttentionFn = void(const Stream&, ConstView q, ConstView k, ConstView v, ConstView record_offsets, float scale,
                         View out);
namespace cpu {
AttentionFn attention;
WorkingBytes<AttentionFn> attention_bytes;
}  // namespace cpu
namespace cuda {
AttentionFn attention;
WorkingBytes<AttentionFn> attention_bytes;  ///< no fewer for more records either
}  // namespace cuda
inline constexpr Op<AttentionFn> attention{"attention", cpu::attention, SWITCHYARD_CUDA_IMPL(cuda::attention),
                                           cpu::attention_bytes, cuda::attention_bytes};

}  // namespace switchyard
