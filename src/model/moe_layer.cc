#include "model/moe_layer.h"

#include <algorithm>
#include <array>

#include "base/device.h"
#include "kernels/products/gemm.h"
#include "kernels/routing/permute.h"
#include "kernels/routing/router.h"
#include "kernels/rows/scale_rows.h"
#include "model/linear.h"

namespace switchyard {

ExchangeShape exchange_shape(const ModelConfig& c, const ExpertPlacement& placement, DType operand,
                             int64_t exchange_bytes, Device device) {
  return {.placement = placement,
          .num_layers = static_cast<int>(c.num_layers()),
          .dim = c.hidden_size,
          .top_k = c.experts_per_token(),
          .dtype = operand,
          .device = device,
          .exchange_bytes = exchange_bytes};
}

MoeCall::MoeCall(const Stream& stream, Arena& arena, const MoeConfig& c, const LayerWeights& w, int layer,
                 Exchange& exchange, ConstView u, ConstView rounded, View x)
    : stream_(stream), arena_(arena), config_(c), w_(w), rounded_(rounded), x_(x) {
  const int64_t tokens = u.rows(), k = c.router.experts_per_token;
  const DType operand = w.experts.front().gate_up.operand();  // every rank hosts at least one expert

  // Route: the router sees the normed states in f32, whatever the experts take.
  View logits = arena.alloc({tokens, c.router.num_experts}, DType::f32);
  View expert_of = arena.alloc({tokens, k}, DType::i32);
  weight_ = arena.alloc({tokens, k}, DType::f32);
  linear(stream, u, w.router, GemmOutput::store, logits);
  router_top_k(stream, logits, c.router.rule(), w.selection_bias.view(), expert_of, weight_);

  ConstView input = rounded;
  if (c.scaled_input) {
    View scaled = arena.alloc(u.shape, operand);
    scale_rows(stream, u, {}, weight_.reshaped({tokens}), scaled);
    input = scaled;
  }
  y_ = arena.alloc({tokens * k, u.shape[1]}, operand);
  const auto experts = [&c, &w](const Stream& s, ConstView rows, const GroupedRows& grouped, View out) {
    grouped_ffn(s, rows, grouped, w.experts, c.activation, GemmOutput::store, out);
  };
  routing_ = exchange.route(stream, arena, expert_of, layer);
  flight_ = routing_->flight(stream, arena, input, experts, y_);
}

void MoeCall::begin() {
  flight_->begin();
  if (!w_.shared.empty()) add_ffn(stream_, arena_, w_.shared, config_.activation, rounded_, x_);
}

void MoeCall::finish() {
  flight_->finish();
  const Shape per_token{weight_.rows(), weight_.shape[1], x_.shape[1]};
  combine(stream_, y_.reshaped(per_token), config_.scaled_input ? ConstView{} : weight_, x_, x_);
}

void moe_layer(const Stream& stream, Arena& arena, const MoeConfig& c, const LayerWeights& w, int layer,
               Exchange& exchange, ConstView u, ConstView rounded, View x) {
  const ArenaScope scope(arena);
  MoeCall call(stream, arena, c, w, layer, exchange, u, rounded, x);
  call.begin();
  call.finish();
}

void add_ffn(const Stream& stream, Arena& arena, std::span<const FfnWeights> w, const GatedActivation& activation,
             ConstView u, View x) {
  const ArenaScope scope(arena);
  const std::array<int64_t, 2> all = {0, u.rows()};
  const ConstView offsets = on_device(stream, arena, view_of(std::span<const int64_t>(all)));
  const GroupedRows rows{{static_cast<const int64_t*>(offsets.data), all.size()}, {}, {}};
  grouped_ffn(stream, u, rows, w, activation, GemmOutput::add, x);
}

}  // namespace switchyard
