#include "kernels/routing/expert_probabilities.h"
#include "kernels/routing/permute.h"
#include "kernels/routing/router.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/rows/scale_rows.h"
#include "model/linear.h"
#include "model/moe_layer.h"
#include "train/pass/layer_pass.h"

namespace switchyard {
namespace {

/// Of one expert a token.
View by_token(View weight) {
  return weight.reshaped({weight.rows()});
}

/// Of the weights that experts' results got, and of the balancing loss.   u: [tokens, d] f32; du: added to
void backward_router(const StepPass& pass, const MoeConfig& c, const Linear& w, const Linear& transpose, ConstView u,
                     const LayerTape& tape, ConstView d_weight, const LayerBalance& balance, const SlicedRows& rows,
                     const BlockGradient& sums, View du) {
  const ArenaScope scope(pass.arena);
  const View logits = pass.arena.alloc({u.rows(), c.router.num_experts}, DType::f32);
  linear(pass.stream, u, w, GemmOutput::store, logits);
  expert_probabilities(pass.stream, logits, c.router.scores, rows, balance.probability_sums);
  const View d_logits = pass.arena.alloc(logits.shape, DType::f32);
  router_top_k_backward(pass.stream, logits, c.router.rule(), tape.chosen.expert, tape.chosen.weight, d_weight,
                        balance.d_probability, d_logits);
  backward_linear(pass, w, transpose, u, d_logits, rows, sums, GemmOutput::add, du);
}

/// What experts take: u, or, where the router's weights scale that, w · u.   u: [tokens, d] f32; roomy: with_room(u)
View experts_input(const StepPass& pass, const MoeConfig& c, const LayerTape& tape, ConstView u, View roomy) {
  if (!c.scaled_input) return roomy;
  const View scaled = pass.arena.alloc(roomy.shape, pass.operand());
  scale_rows(pass.stream, u, {}, by_token(tape.chosen.weight), scaled.slice(0, u.rows()));
  return scaled;
}

/// Through the experts.   u: [tokens, d] f32; roomy, dy: with_room() of u and of the result's gradient; du: stored;
/// d_weight: [tokens, k] f32
void backward_mixture(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                      std::span<const int64_t> tokens, ConstView u, View roomy, View dy, View du, View d_weight) {
  const MoeConfig& c = *pass.config().layers[layer].moe();
  if (!c.scaled_input)
    return backward_experts(pass, layer, exchange, tape, tokens, roomy, dy, tape.chosen.weight, du, d_weight);
  const ArenaScope scope(pass.arena);
  const View ones = pass.arena.alloc(d_weight.shape, DType::f32);
  fill(pass.stream, 1, ones);
  backward_experts(pass, layer, exchange, tape, tokens, experts_input(pass, c, tape, u, roomy), dy, ones, du, d_weight);
  scale_rows_backward(pass.stream, u, du, by_token(d_weight));
  scale_rows(pass.stream, du, {}, by_token(tape.chosen.weight), du);
}

}  // namespace

void forward_feed_forward(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                          View x) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const LayerWeights& w = pass.model.weights().layers[layer];
  const MoeConfig* moe = pass.config().layers[layer].moe();
  const View u = arena.alloc(x.shape, moe != nullptr ? DType::f32 : pass.operand());
  rms_norm(stream, tape.middle, w.ffn_norm.view(), pass.eps(), u);
  if (moe == nullptr) {
    copy(stream, tape.middle, x);
    return add_ffn(stream, arena, w.dense, {}, u, x);
  }
  const View logits = arena.alloc({x.rows(), moe->router.num_experts}, DType::f32);
  linear(stream, u, w.router, GemmOutput::store, logits);
  router_top_k(stream, logits, moe->router.rule(), w.selection_bias.view(), tape.chosen.expert, tape.chosen.weight);
  const View roomy = with_room(pass, exchange.room(), u);
  if (!w.shared.empty()) {
    copy(stream, tape.middle, x);
    add_ffn(stream, arena, w.shared, moe->activation, roomy.slice(0, x.rows()), x);
  }
  const int64_t k = moe->router.experts_per_token, d = x.shape[1];
  const ConstView y = forward_experts(pass, layer, exchange, tape, experts_input(pass, *moe, tape, u, roomy));
  combine(stream, y.reshaped({x.rows(), k, d}), moe->scaled_input ? ConstView{} : tape.chosen.weight,
          w.shared.empty() ? tape.middle : x, x);
}

void backward_feed_forward(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                           const LayerBalance& balance, View dx) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const LayerConfig& c = pass.config().layers[layer];
  const MoeConfig* moe = c.moe();
  const LayerWeights &w = pass.model.weights().layers[layer], &transposes = pass.model.transposes().layers[layer];
  const SlicedRows rows = pass.sliced(pass.batch.slices, pass.batch.slice_tokens);
  const View u = arena.alloc(dx.shape, DType::f32), du = arena.alloc(dx.shape, DType::f32);
  rms_norm(stream, tape.middle, w.ffn_norm.view(), pass.eps(), u);
  const int64_t room = moe != nullptr ? exchange.room() : 0;
  const View u_roomy = with_room(pass, room, u), dy_roomy = with_room(pass, room, dx);
  const ConstView u_operand = u_roomy.slice(0, u.rows()), dy = dy_roomy.slice(0, u.rows());
  View d_weight;
  if (moe != nullptr) {
    d_weight = arena.alloc(tape.chosen.weight.shape, DType::f32);
    backward_mixture(pass, layer, exchange, tape, balance.tokens, u, u_roomy, dy_roomy, du, d_weight);
  } else {
    fill(stream, 0, du);
  }

  BlockGradient sums(pass.stream, pass.model,
                     pass.model.space().block_of(ParameterBlock::Kind::feed_forward, static_cast<int64_t>(layer)));
  if (rows.slices.count() > 0) {
    if (sums.is_wanted()) sums.begin(rows.slices);
    if (!w.shared.empty())
      backward_ffn(pass, w.shared, transposes.shared, moe->activation, u_operand, dy, rows, sums, du);
    if (!w.dense.empty()) backward_ffn(pass, w.dense, transposes.dense, {}, u_operand, dy, rows, sums, du);
    if (moe != nullptr)
      backward_router(pass, *moe, w.router, transposes.router, u, tape, d_weight, balance, rows, sums, du);
    if (w.selection_bias.view().rows() > 0)
      for (const View& node : sums.of(&w.selection_bias)) fill(stream, 0, node);
    rms_norm_backward(stream, tape.middle, w.ffn_norm.view(), pass.eps(), du, rows, GemmOutput::add,
                      arena.alloc({dx.rows()}, DType::f32), dx, sums.of(&w.ffn_norm));
    if (sums.is_wanted()) sums.commit();
  }
  if (sums.is_wanted()) sums.finish(arena, pass.bytes_at_once);
}

}  // namespace switchyard
