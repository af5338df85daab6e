// The queries, keys and values of a layer's attention, and what happens to them before it.
#pragma once

#include "base/stream.h"
#include "base/tensor.h"
#include "model/position_tables.h"
#include "model/weights.h"

namespace switchyard {

inline constexpr float kLatentEps = 1e-6f;  ///< of the latents' norms, whatever rms_norm_eps is

/// In attention_operand's dtype; in bf16 queries are multiplied by attention_factor.
struct AttentionHeads {
  View q;  ///< [tokens, num_heads, head_dim]
  View k;  ///< [tokens, num_kv_heads, head_dim]
  View v;  ///< [tokens, num_kv_heads, value_dim]
};

/// Of u, the layer's normed input [tokens, d] in the operand; in the arena. positions: [tokens] i32, within the record
AttentionHeads attention_heads(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                               float rms_norm_eps, ConstView u, ConstView positions, const PositionTables& tables);

}  // namespace switchyard
