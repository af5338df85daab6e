#include "model/memory_plan.h"

#include <algorithm>

#include "exchange/exchange.h"
#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/routing/group_by_expert.h"
#include "kernels/scratch.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "model/loader.h"
#include "model/moe_layer.h"

namespace switchyard {
namespace {

int64_t largest_ffn(const LayerConfig& layer) {
  const MoeConfig* moe = layer.moe();
  return moe != nullptr ? std::max(moe->expert_size, moe->shared_size) : layer.dense()->size;
}

/// Of one thread: the most that a layer takes.
size_t kernel_scratch_bytes(const ModelConfig& c, DType operand) {
  size_t most = 0;
  for (const LayerConfig& layer : c.layers)
    most = std::max(most, thread_scratch_bytes({.operand = operand,
                                                .dim = c.hidden_size,
                                                .ffn_dim = largest_ffn(layer),
                                                .vocab = c.vocab_size,
                                                .heads = layer.attention.num_heads,
                                                .kv_heads = layer.attention.num_kv_heads,
                                                .head_dim = layer.attention.head_dim}));
  return most;
}

/// What products and attention of one layer take of a CUDA stream's workspace.
size_t layer_workspace_bytes(const ModelConfig& c, const LayerConfig& layer, DType operand, int64_t tokens,
                             int64_t max_entries) {
  const AttentionConfig& a = layer.attention;
  const int64_t d = c.hidden_size;
  const AttentionShape heads{.tokens = tokens,
                             .records = tokens,
                             .heads = a.num_heads,
                             .kv_heads = a.num_kv_heads,
                             .head_dim = a.head_dim,
                             .output = operand};
  const size_t attention =
      std::max({attention_workspace(heads), gemm_workspace(a.query_size(), d, operand),
                gemm_workspace(a.kv_size(), d, operand), gemm_workspace(d, a.query_size(), operand)});
  const MoeConfig* moe = layer.moe();
  if (moe == nullptr) return std::max(attention, grouped_ffn_workspace(tokens, layer.dense()->size, operand, 1));
  const RouterConfig& router = moe->router;
  const size_t shared = moe->shared_size > 0 ? grouped_ffn_workspace(tokens, moe->shared_size, operand, 1) : 0;
  return std::max({attention, shared, gemm_workspace(router.num_experts, d, DType::f32),
                   group_by_expert_workspace(tokens, router.experts_per_token, router.num_experts),
                   grouped_ffn_workspace(max_entries, moe->expert_size, operand, router.num_experts)});
}

}  // namespace

size_t MemoryPlan::peak() const {
  const size_t computing = activations + exchange + scratch;
  return weights + (device == Device::cpu ? std::max(loading, computing) : computing);
}

size_t MemoryPlan::host_peak() const {
  return device == Device::cpu ? peak() : std::max(loading, bookkeeping);
}

MemoryPlan plan_memory(const ModelConfig& c, const MemoryRequest& r) {
  const ExpertPlacement placement = ExpertPlacement::blocks(c.num_experts(), r.num_ranks);
  const WeightBytes weights = predict_weight_bytes(c, r.operand, placement.max_count(), r.threads, r.device);
  const ExchangeScratch exchange = exchange_scratch(exchange_shape(c, placement, r.operand, r.exchange_bytes, r.device),
                                                    placement.max_count(), r.limits.part_tokens());
  MemoryPlan plan;
  plan.device = r.device;
  plan.weights = weights.resident;
  plan.loading = weights.scratch;
  plan.exchange = exchange.arena_bytes;
  plan.activations =
      Decoder::arena_bytes(c, r.operand, r.limits, exchange.arena_bytes, r.device) - exchange.arena_bytes;
  plan.scratch = Decoder::table_bytes(c, r.limits);
  if (r.device == Device::cpu) {
    plan.exchange += exchange.host_bytes;
    plan.scratch += static_cast<size_t>(r.threads) * kernel_scratch_bytes(c, r.operand);
  } else {
    plan.bookkeeping = exchange.host_bytes;
    plan.scratch += device_workspace_bytes(c, r.operand, r.limits, exchange.max_entries);
  }
  return plan;
}

size_t device_workspace_bytes(const ModelConfig& c, DType operand, const DecoderLimits& limits, int64_t max_entries) {
  size_t most = cross_entropy_workspace(limits.max_tokens, c.vocab_size);
  for (const LayerConfig& layer : c.layers)
    most = std::max(most, layer_workspace_bytes(c, layer, operand, limits.part_tokens(), max_entries));
  return most;
}

}  // namespace switchyard
