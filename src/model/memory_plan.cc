#include "model/memory_plan.h"

#include <algorithm>

#include "exchange/exchange.h"
#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/routing/group_by_expert.h"
#include "kernels/scratch.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "model/moe_layer.h"

namespace switchyard {
namespace {

KernelShapes kernel_shapes(const ModelConfig& c, DType operand) {
  return {.operand = operand,
          .dim = c.hidden_size,
          .ffn_dim = std::max({c.expert_ffn_size, c.shared_ffn_size, c.dense_ffn_size}),
          .vocab = c.vocab_size,
          .heads = c.num_heads,
          .kv_heads = c.num_kv_heads,
          .head_dim = c.head_dim};
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
  const ExpertPlacement placement = ExpertPlacement::blocks(static_cast<int>(c.num_experts), r.num_ranks);
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
    plan.scratch += static_cast<size_t>(r.threads) * thread_scratch_bytes(kernel_shapes(c, r.operand));
  } else {
    plan.bookkeeping = exchange.host_bytes;
    plan.scratch += device_workspace_bytes(c, r.operand, r.limits, exchange.max_entries);
  }
  return plan;
}

size_t device_workspace_bytes(const ModelConfig& c, DType operand, const DecoderLimits& limits, int64_t max_entries) {
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const int64_t tokens = limits.part_tokens();
  const auto ffn = [&](int64_t entries, int64_t f, int64_t groups) {
    return f == 0 ? 0 : grouped_ffn_workspace(entries, f, operand, groups);
  };
  const AttentionShape heads{.tokens = tokens,
                             .records = tokens,
                             .heads = c.num_heads,
                             .kv_heads = c.num_kv_heads,
                             .head_dim = c.head_dim,
                             .output = operand};
  return std::max({attention_workspace(heads), cross_entropy_workspace(limits.max_tokens, c.vocab_size),
                   group_by_expert_workspace(tokens, c.experts_per_token, c.num_experts),
                   ffn(max_entries, c.expert_ffn_size, c.num_experts), ffn(tokens, c.shared_ffn_size, 1),
                   ffn(tokens, c.dense_ffn_size, 1), gemm_workspace(q, d, operand), gemm_workspace(kv, d, operand),
                   gemm_workspace(d, q, operand), gemm_workspace(c.num_experts, d, DType::f32)});
}

}  // namespace switchyard
