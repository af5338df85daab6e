// One mixture-of-experts layer: router, exchange, experts, combine.
#pragma once

#include <span>

#include "base/stream.h"
#include "comm/expert_exchange.h"
#include "model/weights.h"

namespace switchyard {

/// x += Σ_j weight_j · expert_j(u) + shared(u).   u: [tokens, d] f32 (normed); x: [tokens, d] f32
/// Every rank of the exchange's group takes part, with or without tokens.
void moe_layer(const Stream& stream, Arena& arena, const ModelConfig& config, const LayerWeights& w,
               ExpertExchange& exchange, ConstView u, View x);

/// x += ffn(u) for one SwiGLU that every token takes.   u: [tokens, d] operand; x: [tokens, d] f32; w: one element
void add_ffn(const Stream& stream, Arena& arena, std::span<const FfnWeights> w, ConstView u, View x);

/// Bytes of arena that they use for up to `tokens` tokens, given those of the exchange.
size_t moe_layer_bytes(const ModelConfig& config, DType operand, int64_t tokens, size_t exchange_bytes,
                       Device device = Device::cpu);
size_t add_ffn_bytes(Device device);

}  // namespace switchyard
