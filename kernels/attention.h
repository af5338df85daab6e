#pragma once

#include "kernels/op.h"

namespace switchyard {

/// Causal grouped-query attention within each record, softmax(scale · q kᵀ) v, blocked with an online softmax: never
/// more than a tile of scores exists. Query head h uses key-value head h / (heads / kv_heads). Arithmetic in f32. q:
/// [tokens, heads, head_dim] f32; k, v: [tokens, kv_heads, head_dim] f32; record_offsets: [records + 1] i64, from 0 to
/// tokens, non-decreasing; out: [tokens, heads, head_dim] f32|bf16
using AttentionFn = void(const Stream&, ConstView q, ConstView k, ConstView v, ConstView record_offsets, float scale,
                         View out);
namespace cpu {
AttentionFn attention;
}
namespace cuda {
AttentionFn attention;
}
inline constexpr Op<AttentionFn> attention{"attention", cpu::attention, nullptr};

}  // namespace switchyard
