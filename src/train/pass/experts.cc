#include <algorithm>
#include <deque>

#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/routing/permute.h"
#include "kernels/rows/cast.h"
#include "train/pass/layer_pass.h"

namespace switchyard {
namespace {

/// [experts + 1] where each expert's rows begin.
std::vector<int64_t> offsets_of_experts(const SlicedRows& rows) {
  std::vector<int64_t> offsets{0};
  for (int64_t e = 0; e < rows.num_groups(); ++e) offsets.push_back(rows.of_group(e).back());
  return offsets;
}

/// Where windows leave their products forward, and find them backward: there are the same ones both ways.
class KeptProducts {
 public:
  explicit KeptProducts(View gate_up) : gate_up_(gate_up) {}

  /// Of the next window, of so many rows; no data: there is no room.
  View take(int64_t rows) {
    if (gate_up_.shape.rank() == 0 || used_ + rows > gate_up_.rows()) return {};
    used_ += rows;
    return gate_up_.slice(used_ - rows, rows);
  }

 private:
  View gate_up_;
  int64_t used_ = 0;
};

/// Rows of some experts: their results go to window.result.
void compute_forward(const StepPass& pass, std::span<const FfnWeights> hosted, const GatedActivation& activation,
                     const GradientRows& window, View gate_up) {
  if (window.rows.num_rows() == 0) return;
  const auto w =
      hosted.subspan(static_cast<size_t>(window.first_expert), static_cast<size_t>(window.rows.num_groups()));
  const std::vector<int64_t> offsets = offsets_of_experts(window.rows);
  const GroupedRows rows{offsets, window.input_row, window.result_row};
  if (gate_up.shape.rank() > 0)
    grouped_ffn_taped(pass.stream, window.u, rows, w, activation, gate_up, window.result);
  else
    grouped_ffn(pass.stream, window.u, rows, w, activation, GemmOutput::store, window.result);
}

/// What the backward pass of some experts' rows leaves for their weights' gradients.
struct WeightOperands {
  const GradientRows& window;
  std::span<const FfnWeights> w;  ///< of the window's experts
  View d_gate_up;                 ///< [rows, 2f] operand
  View scaled_h;                  ///< [rows, f] operand
  ConstView ones;                 ///< [rows] f32, where there are biases
};

/// A layer's experts that this rank hosts, and their gradients as they come together.
class HostedExperts {
 public:
  HostedExperts(const StepPass& pass, int64_t layer)
      : pass_(pass),
        layer_(layer),
        w_(pass.model.weights().layers[static_cast<size_t>(layer)].experts),
        transposes_(pass.model.transposes().layers[static_cast<size_t>(layer)].experts) {
    const TrainRanks& ranks = pass.model.ranks();
    const std::span<const int> experts = ranks.placement().experts_of(ranks.group().rank());
    for (const int expert : experts) gradients_.emplace_back(pass.stream, pass.model, block_of(expert));
    has_any_.resize(gradients_.size());
  }

  /// Rows of some experts: their gradients go to window.result and .dweight, which give_back() is called for; then
  /// their weights' gradients here, by ops of `stream`.
  template <class GiveBack>
  void compute(const Stream& stream, const GatedActivation& activation, const GradientRows& window, ConstView gate_up,
               const GiveBack& give_back) {
    if (window.rows.num_groups() == 0) return give_back();
    const auto first = static_cast<size_t>(window.first_expert), count = static_cast<size_t>(window.rows.num_groups());
    if (window.rows.num_rows() == 0) {
      if (window.rows.slices != all_slices() && gradients_[first].is_wanted()) add_nothing(first, window.rows.slices);
      return give_back();
    }
    const ArenaScope scope(pass_.arena);
    const auto w = std::span(w_).subspan(first, count), transposes = std::span(transposes_).subspan(first, count);
    const int64_t entries = window.rows.num_rows(), f = w.front().down.k();
    const View scaled_h = pass_.arena.alloc({entries, f}, pass_.operand());
    const View d_gate_up = pass_.arena.alloc({entries, 2 * f}, pass_.operand());
    const std::vector<int64_t> offsets = offsets_of_experts(window.rows);
    grouped_ffn_backward(pass_.stream, window.u, window.dy, window.weight,
                         {offsets, window.input_row, window.result_row}, w, transposes, activation, GemmOutput::store,
                         scaled_h, d_gate_up, window.result, window.dweight, gate_up);
    give_back();
    View ones;
    if (w.front().down_bias.view().rows() > 0) {
      ones = pass_.arena.alloc({entries}, DType::f32);
      fill(stream, 1, ones);
    }
    sum_gradients(stream, {window, w, d_gate_up, scaled_h, ones});
  }

  /// tokens: [E] of the whole step. Those that no token went to have no gradient.
  void finish(std::span<const int64_t> tokens) {
    const TrainRanks& ranks = pass_.model.ranks();
    const std::span<const int> experts = ranks.placement().experts_of(ranks.group().rank());
    for (size_t e = 0; e < gradients_.size(); ++e) {
      if (tokens[static_cast<size_t>(experts[e])] == 0 || !gradients_[e].is_wanted()) continue;
      if (!has_any_[e] && all_slices().count() > 0) add_nothing(e, all_slices());
      gradients_[e].finish(pass_.arena, pass_.bytes_at_once);
    }
  }

 private:
  size_t block_of(int expert) const {
    return pass_.model.space().block_of(ParameterBlock::Kind::expert, layer_, expert);
  }
  SliceRange all_slices() const { return pass_.model.ranks().slices_of_group(); }
  void begin(size_t expert, const SliceRange& slices) {
    gradients_[expert].begin(slices);
    has_any_[expert] = true;
  }

  void sum_gradients(const Stream& stream, const WeightOperands& o) {
    const GradientRows& window = o.window;
    const SlicedRows rows = pass_.sliced(window.rows.slices, window.rows.offsets);
    const auto first = static_cast<size_t>(window.first_expert), count = static_cast<size_t>(rows.num_groups());
    const auto adds = [&](size_t e) {
      const auto of_group = rows.of_group(static_cast<int64_t>(e));
      return of_group.front() < of_group.back() && gradients_[first + e].is_wanted();
    };
    bool any = false;
    for (size_t e = 0; e < count; ++e) {
      if (!adds(e)) continue;
      begin(first + e, rows.slices);
      any = true;
    }
    if (!any) return;
    // Of one tensor of all of them; of those without rows, and those that do not train, nothing.
    const auto nodes_of = [&](auto member) {
      const size_t num_nodes = tree_nodes(rows.slices).size();
      std::vector<View> nodes(count * num_nodes);
      for (size_t e = 0; e < count; ++e)
        if (adds(e))
          std::ranges::copy(gradients_[first + e].of(&(o.w[e].*member)),
                            nodes.begin() + static_cast<int64_t>(e * num_nodes));
      return nodes;
    };
    const auto wanted = [&](auto member) {
      std::vector<ElementBits> bits;
      for (size_t e = 0; e < count; ++e) bits.push_back(gradients_[first + e].wanted(&(o.w[e].*member)));
      return bits;
    };
    const ListedRows u(window.u, window.input_row), dy(window.dy, window.input_row);
    weight_gradient(stream, o.d_gate_up, u, rows, wanted(&FfnWeights::gate_up), nodes_of(&FfnWeights::gate_up));
    weight_gradient(stream, dy, o.scaled_h, rows, wanted(&FfnWeights::down), nodes_of(&FfnWeights::down));
    if (o.ones.shape.rank() > 0) {
      sum_weighted(stream, o.d_gate_up, o.ones, rows, nodes_of(&FfnWeights::gate_up_bias));
      sum_weighted(stream, dy, window.weight, rows, nodes_of(&FfnWeights::down_bias));
    }
    for (size_t e = 0; e < count; ++e)
      if (adds(e)) gradients_[first + e].commit();
  }

  /// Sums of rows, each times its weight, rounded to the operand.   x: operand; weight: [rows …] f32
  void sum_weighted(const Stream& stream, const ListedRows& x, ConstView weight, const SlicedRows& rows,
                    std::vector<View> out) const {
    const ArenaScope scope(pass_.arena);
    for (View& node : out)
      if (node.shape.rank() > 0) node = node.reshaped({node.elements(), 1});
    const ConstView column = as_operand(
        stream, pass_.arena, weight.slice(0, rows.num_rows()).reshaped({rows.num_rows(), 1}), pass_.operand());
    weight_gradient(stream, x, column, rows, {}, out);
  }
  /// None of the group's tokens of these slices went there, but some of others.
  void add_nothing(size_t expert, const SliceRange& slices) {
    begin(expert, slices);
    for (const View& node : gradients_[expert].nodes()) fill(pass_.stream, 0, node);
    gradients_[expert].commit();
  }

  const StepPass& pass_;
  const int64_t layer_;
  const std::vector<FfnWeights>&w_, &transposes_;
  std::deque<BlockGradient> gradients_;
  std::vector<bool> has_any_;  // part of its gradient
};

/// On a stream that lists work, what is to be expected: of the group's tokens this rank's experts' share, in as few
/// windows as they fit in.
template <class Compute>
void expect_windows(const StepPass& pass, const GradientExchange& exchange, Way way, const Compute& compute) {
  const GradientExchangeShape& shape = exchange.shape();
  const TrainRanks& ranks = pass.model.ranks();
  const int64_t groups_of_ranks = ranks.world().size() / ranks.group().size();
  const int64_t hosted = shape.placement.count(ranks.group().rank()), slices = shape.slices().count();
  const int64_t rows =
      pass.batch.step_tokens * shape.top_k * hosted / (groups_of_ranks * shape.placement.num_experts());
  const int64_t most = exchange.scratch().max_rows;  // 0 where there are no slices
  const int64_t windows = slices > 0 ? std::clamp<int64_t>((rows + most - 1) / most, 1, hosted) : 0;
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t first = hosted * i / windows, experts = hosted * (i + 1) / windows - first;
    const int64_t count = rows * experts / hosted;
    std::vector<int64_t> offsets(static_cast<size_t>(experts * slices) + 1);
    for (size_t o = 0; o < offsets.size(); ++o) offsets[o] = count * static_cast<int64_t>(o) / (experts * slices);
    const View all{nullptr, {count, shape.dim}, shape.dtype}, numbers{nullptr, {count}, DType::f32};
    const std::span<const int32_t> list(static_cast<const int32_t*>(nullptr), static_cast<size_t>(count));
    compute(GradientRows{.first_expert = static_cast<int>(first),
                         .rows = {shape.slices(), offsets},
                         .u = all,
                         .dy = all,
                         .input_row = list,
                         .weight = numbers,
                         .result = all,
                         .result_row = list,
                         .dweight = numbers});
  }
  const int64_t assignments = pass.batch.batch.tokens() * shape.top_k;
  pass.stream.works->push_back({work_of_windows(static_cast<double>(assignments), shape, way)});
}

/// The windows of a layer take at most what is allocated here, and compute(window) takes of a window.
template <class Compute>
void measure_windows(const StepPass& pass, const GradientExchange& exchange, Way way, const Compute& compute) {
  if (pass.stream.works != nullptr) return expect_windows(pass, exchange, way, compute);
  const ArenaScope scope(pass.arena);
  const GradientScratch scratch = exchange.scratch();
  const GradientExchangeShape& shape = exchange.shape();
  pass.arena.alloc({static_cast<int64_t>(scratch.arena_bytes)}, DType::u8);
  std::vector<int64_t> offsets(static_cast<size_t>(shape.slices().count()) + 1, scratch.max_rows);
  offsets.front() = 0;
  if (shape.slices().count() == 0) return;
  const View rows{nullptr, {scratch.max_rows, shape.dim}, shape.dtype},
      numbers{nullptr, {scratch.max_rows}, DType::f32};
  compute(GradientRows{
      .rows = {shape.slices(), offsets}, .u = rows, .dy = rows, .weight = numbers, .result = rows, .dweight = numbers});
}

}  // namespace

View with_room(const StepPass& pass, int64_t room, View x) {
  if (x.dtype == pass.operand() && room == 0) return x;
  const View roomy = pass.arena.alloc({x.rows() + room, x.shape[1]}, pass.operand());
  cast(pass.stream, x, roomy.slice(0, x.rows()));
  return roomy;
}

ConstView forward_experts(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                          View u) {
  const int64_t results = tape.chosen.expert.elements();
  const View y = pass.arena.alloc({results + exchange.room(), u.shape[1]}, pass.operand());
  const ArenaScope scope(pass.arena);
  const GatedActivation& activation = pass.config().layers[layer].moe()->activation;
  const std::vector<FfnWeights>& w = pass.model.weights().layers[layer].experts;
  KeptProducts kept(tape.gate_up);
  if (pass.stream.measured != nullptr) {
    measure_windows(pass, exchange, Way::forward, [&](const GradientRows& window) {
      compute_forward(pass, w, activation, window, kept.take(window.rows.num_rows()));
    });
    return y.slice(0, results);
  }
  const auto windows = exchange.plan(pass.stream, pass.arena, Way::forward, static_cast<int>(layer), tape.chosen.expert,
                                     pass.batch.slice_tokens, {.u = u, .result = y});
  while (windows->begin()) {
    const GradientRows window = windows->rows();
    compute_forward(pass, w, activation, window, kept.take(window.rows.num_rows()));
    windows->give_back();
  }
  return y.slice(0, results);
}

void backward_experts(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                      std::span<const int64_t> tokens, View u, View dy, ConstView weight, View du, View d_weight) {
  const ArenaScope scope(pass.arena);
  const MoeConfig& c = *pass.config().layers[layer].moe();
  const int64_t k = c.router.experts_per_token, results = tape.chosen.expert.elements();
  const View returned = pass.arena.alloc({results + exchange.room(), u.shape[1]}, pass.operand());
  HostedExperts experts(pass, static_cast<int64_t>(layer));
  KeptProducts kept(tape.gate_up);
  if (pass.stream.measured != nullptr) {
    measure_windows(pass, exchange, Way::backward, [&](const GradientRows& window) {
      experts.compute(pass.stream, c.activation, window, kept.take(window.rows.num_rows()), [] {});
    });
  } else {
    const auto windows = exchange.plan(pass.stream, pass.arena, Way::backward, static_cast<int>(layer),
                                       tape.chosen.expert, pass.batch.slice_tokens,
                                       {.u = u, .dy = dy, .weight = weight, .result = returned, .dweight = d_weight});
    while (windows->begin()) {
      const GradientRows window = windows->rows();
      experts.compute(windows->stream(), c.activation, window, kept.take(window.rows.num_rows()),
                      [&] { windows->give_back(); });
    }
  }
  experts.finish(tokens);
  combine(pass.stream, returned.slice(0, results).reshaped({du.rows(), k, u.shape[1]}), {}, {}, du);
}

}  // namespace switchyard
