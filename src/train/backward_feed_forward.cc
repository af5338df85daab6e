#include <algorithm>
#include <deque>

#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/routing/expert_probabilities.h"
#include "kernels/routing/permute.h"
#include "kernels/routing/router.h"
#include "kernels/rows/rms_norm.h"
#include "model/linear.h"
#include "train/backward.h"

namespace switchyard {
namespace {

/// A layer's experts that this rank hosts, and their gradients as they come together.
class HostedExperts {
 public:
  HostedExperts(const StepPass& pass, int64_t layer)
      : pass_(pass),
        layer_(layer),
        w_(pass.model.weights().layers[static_cast<size_t>(layer)].experts),
        transposes_(pass.model.transposes().layers[static_cast<size_t>(layer)].experts) {
    const TrainRanks& ranks = pass.model.ranks();
    for (const int expert : ranks.placement().experts_of(ranks.group().rank()))
      gradients_.emplace_back(pass.stream, pass.model, block_of(expert));
    begun_.resize(gradients_.size());
  }

  /// Rows of some experts: their gradients go to window.dx and .dweight, their weights' gradients here.
  void compute(const GatedActivation& activation, const GradientRows& window) {
    if (window.rows.num_groups() == 0) return;
    const ArenaScope scope(pass_.arena);
    const auto first = static_cast<size_t>(window.first_expert), count = static_cast<size_t>(window.rows.num_groups());
    const auto w = std::span(w_).subspan(first, count), transposes = std::span(transposes_).subspan(first, count);
    const int64_t entries = window.u.rows(), f = w.front().down.k();
    const View scaled_h = pass_.arena.alloc({entries, f}, pass_.operand());
    const View d_gate_up = pass_.arena.alloc({entries, 2 * f}, pass_.operand());
    std::vector<int64_t> offsets{0};
    for (size_t e = 0; e < count; ++e) offsets.push_back(window.rows.of_group(static_cast<int64_t>(e)).back());
    grouped_ffn_backward(pass_.stream, window.u, window.dy, window.weight, offsets, w, transposes, activation,
                         GemmOutput::store, scaled_h, d_gate_up, window.dx, window.dweight);
    std::vector<View> gate_up, down;
    for (size_t e = 0; e < count; ++e) {
      BlockGradient& gradient = gradients_[first + e];
      gradient.begin(window.rows.slices);
      begun_[first + e] = true;
      std::ranges::copy(gradient.of(&w[e].gate_up), std::back_inserter(gate_up));
      std::ranges::copy(gradient.of(&w[e].down), std::back_inserter(down));
    }
    weight_gradient(pass_.stream, d_gate_up, window.u, window.rows, gate_up);
    weight_gradient(pass_.stream, window.dy, scaled_h, window.rows, down);
    for (size_t e = 0; e < count; ++e) gradients_[first + e].commit();
  }

  /// tokens: [E] of the whole step. Those that no token went to have no gradient.
  void finish(std::span<const int64_t> tokens) {
    const TrainRanks& ranks = pass_.model.ranks();
    const std::span<const int> experts = ranks.placement().experts_of(ranks.group().rank());
    for (size_t e = 0; e < gradients_.size(); ++e) {
      if (tokens[static_cast<size_t>(experts[e])] == 0) continue;
      if (!begun_[e]) add_nothing(gradients_[e], w_[e]);
      gradients_[e].finish(pass_.arena, pass_.bytes_at_once);
    }
  }

 private:
  size_t block_of(int expert) const {
    return pass_.model.space().block_of(ParameterBlock::Kind::expert, layer_, expert);
  }
  /// None of this group's tokens went there, but some of another's.
  void add_nothing(BlockGradient& gradient, const FfnWeights& w) const {
    const SliceRange slices = pass_.model.ranks().slices_of_group();
    if (slices.count() == 0) return;
    gradient.begin(slices);
    for (const void* place : {static_cast<const void*>(&w.gate_up), static_cast<const void*>(&w.down)})
      for (const View& node : gradient.of(place)) fill_zero(pass_.stream, node);
    gradient.commit();
  }

  const StepPass& pass_;
  const int64_t layer_;
  const std::vector<FfnWeights>&w_, &transposes_;
  std::deque<BlockGradient> gradients_;
  std::vector<bool> begun_;
};

/// What the windows of a layer take at most, and what experts take of a window.
void measure_windows(const StepPass& pass, const GradientExchange& exchange, const GatedActivation& activation,
                     HostedExperts& experts) {
  const ArenaScope scope(pass.arena);
  const GradientScratch scratch = exchange.scratch();
  const GradientExchangeShape& shape = exchange.shape();
  pass.arena.alloc({static_cast<int64_t>(scratch.arena_bytes)}, DType::u8);
  std::vector<int64_t> offsets(static_cast<size_t>(shape.slices().count()) + 1, scratch.max_rows);
  offsets.front() = 0;
  if (shape.slices().count() == 0) return;
  const View rows{nullptr, {scratch.max_rows, shape.dim}, shape.dtype},
      numbers{nullptr, {scratch.max_rows}, DType::f32};
  experts.compute(
      activation,
      {.rows = {shape.slices(), offsets}, .u = rows, .dy = rows, .weight = numbers, .dx = rows, .dweight = numbers});
}

/// The whole step's tokens through a layer's experts.   u, dy: [tokens, d] operand; du: [tokens, d] f32, stored;
/// d_weight: [tokens, k] f32
void backward_experts(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                      std::span<const int64_t> tokens, ConstView u, ConstView dy, View du, View d_weight) {
  const ArenaScope scope(pass.arena);
  const MoeConfig& c = *pass.config().layers[layer].moe();
  const int64_t k = c.router.experts_per_token;
  const View returned = pass.arena.alloc({u.rows() * k, u.shape[1]}, pass.operand());
  HostedExperts experts(pass, static_cast<int64_t>(layer));
  if (pass.stream.measured != nullptr) {
    measure_windows(pass, exchange, c.activation, experts);
  } else {
    const auto windows = exchange.plan(pass.stream, pass.arena, tape.chosen.expert, pass.batch.slice_tokens);
    while (windows->begin(u, dy, tape.chosen.weight)) {
      experts.compute(c.activation, windows->rows());
      windows->give_back(returned, d_weight);
    }
  }
  experts.finish(tokens);
  fill_zero(pass.stream, du);
  combine(pass.stream, returned.reshaped({u.rows(), k, u.shape[1]}), {}, du);
}

/// Of the weights that experts' results got, and of the balancing loss.   u: [tokens, d] f32; du: added to
void backward_router(const StepPass& pass, const MoeConfig& c, const Linear& w, const Linear& transpose, ConstView u,
                     const LayerTape& tape, ConstView d_weight, const LayerBalance& balance, const SlicedRows& rows,
                     const BlockGradient& sums, View du) {
  const ArenaScope scope(pass.arena);
  const View logits = pass.arena.alloc({u.rows(), c.router.num_experts}, DType::f32);
  linear(pass.stream, u, w, GemmOutput::store, logits);
  expert_probabilities(pass.stream, logits, rows, balance.probability_sums);
  const View d_logits = pass.arena.alloc(logits.shape, DType::f32);
  router_top_k_backward(pass.stream, logits, c.router.rule(), tape.chosen.expert, tape.chosen.weight, d_weight,
                        balance.d_probability, d_logits);
  backward_linear(pass, w, transpose, u, d_logits, rows, sums, GemmOutput::add, du);
}

}  // namespace

void backward_feed_forward(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                           const LayerBalance& balance, View dx) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const LayerConfig& c = pass.config().layers[layer];
  const MoeConfig* moe = c.moe();
  const LayerWeights &w = pass.model.weights().layers[layer], &transposes = pass.model.transposes().layers[layer];
  const SlicedRows rows{pass.batch.slices, pass.batch.slice_tokens};
  const View u = arena.alloc(dx.shape, DType::f32), du = arena.alloc(dx.shape, DType::f32);
  rms_norm(stream, tape.middle, w.ffn_norm.view(), pass.eps(), u);
  const ConstView u_operand = as_operand(stream, arena, u, pass.operand()),
                  dy = as_operand(stream, arena, dx, pass.operand());
  View d_weight;
  if (moe != nullptr) {
    d_weight = arena.alloc(tape.chosen.weight.shape, DType::f32);
    backward_experts(pass, layer, exchange, tape, balance.tokens, u_operand, dy, du, d_weight);
  } else {
    fill_zero(stream, du);
  }

  BlockGradient sums(pass.stream, pass.model,
                     pass.model.space().block_of(ParameterBlock::Kind::feed_forward, static_cast<int64_t>(layer)));
  if (rows.slices.count() > 0) {
    sums.begin(rows.slices);
    if (!w.shared.empty())
      backward_ffn(pass, w.shared, transposes.shared, moe->activation, u_operand, dy, rows, sums, du);
    if (!w.dense.empty()) backward_ffn(pass, w.dense, transposes.dense, {}, u_operand, dy, rows, sums, du);
    if (moe != nullptr)
      backward_router(pass, *moe, w.router, transposes.router, u, tape, d_weight, balance, rows, sums, du);
    rms_norm_backward(stream, tape.middle, w.ffn_norm.view(), pass.eps(), du, rows, GemmOutput::add,
                      arena.alloc({dx.rows()}, DType::f32), dx, sums.of(&w.ffn_norm));
    sums.commit();
  }
  sums.finish(arena, pass.bytes_at_once);
}

}  // namespace switchyard
