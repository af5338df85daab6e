#include "model/moe_layer.h"

#include <algorithm>
#include <numeric>

#include "kernels/cast.h"
#include "kernels/gemm.h"
#include "kernels/permute.h"
#include "kernels/router.h"

namespace switchyard {

void moe_layer(const Stream& stream, Arena& arena, const ModelConfig& c, const LayerWeights& w,
               ExpertExchange& exchange, ConstView u, View x) {
  const ArenaScope scope(arena);
  const int64_t tokens = u.rows(), k = c.experts_per_token;
  const DType operand = w.experts.front().gate_up.operand();  // every rank hosts at least one expert

  // Route: the router sees the normed states in f32, whatever the experts take.
  View logits = arena.alloc({tokens, c.num_experts}, DType::f32);
  View expert = arena.alloc({tokens, k}, DType::i32);
  View weight = arena.alloc({tokens, k}, DType::f32);
  gemm(stream, u, w.router, GemmOutput::store, logits);
  router_top_k(stream, logits, c.renormalise, expert, weight);

  if (operand != DType::f32) {
    View rounded = arena.alloc(u.shape, operand);
    cast(stream, u, rounded);
    u = rounded;
  }
  View y = arena.alloc({tokens * k, c.hidden_size}, operand);  // one row per (token, slot)
  const auto experts = [&](const Stream& s, ConstView rows, const GroupedRows& grouped, View out) {
    grouped_ffn(s, rows, grouped, w.experts, out);
  };
  exchange.run(stream, arena, u, expert, experts, y);
  combine(stream, y.reshaped({tokens, k, c.hidden_size}), weight, x);
  if (!w.shared.empty()) add_ffn(stream, arena, w.shared, u, x);
}

void add_ffn(const Stream& stream, Arena& arena, std::span<const FfnWeights> w, ConstView u, View x) {
  const ArenaScope scope(arena);
  const int64_t tokens = u.rows();
  View row = arena.alloc({tokens}, DType::i32);
  View one = arena.alloc({tokens, 1}, DType::f32);
  View y = arena.alloc(x.shape, DType::f32);
  const auto rows = row.span<int32_t>();
  std::iota(rows.begin(), rows.end(), 0);
  std::ranges::fill(one.span<float>(), 1.0f);

  const int64_t offsets[] = {0, tokens};
  grouped_ffn(stream, u, GroupedRows{offsets, rows, rows}, w, y);
  combine(stream, y.reshaped({tokens, 1, x.shape[1]}), one, x);
}

size_t add_ffn_bytes(const ModelConfig& c, int64_t tokens) {
  return Arena::bytes_of({tokens}, DType::i32) + Arena::bytes_of({tokens, 1}, DType::f32) +
         Arena::bytes_of({tokens, c.hidden_size}, DType::f32);
}

size_t moe_layer_bytes(const ModelConfig& c, DType operand, int64_t tokens, size_t exchange_bytes) {
  const int64_t k = c.experts_per_token;
  const size_t routed = Arena::bytes_of({tokens, c.num_experts}, DType::f32) +
                        Arena::bytes_of({tokens, k}, DType::i32) + Arena::bytes_of({tokens, k}, DType::f32);
  const size_t rounded = operand == DType::f32 ? 0 : Arena::bytes_of({tokens, c.hidden_size}, operand);
  const size_t results = Arena::bytes_of({tokens * k, c.hidden_size}, operand);
  const size_t shared = c.shared_ffn_size > 0 ? add_ffn_bytes(c, tokens) : 0;
  return routed + rounded + results + std::max(exchange_bytes, shared);
}

}  // namespace switchyard
