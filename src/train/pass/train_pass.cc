#include "train/pass/train_pass.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <utility>

#include "base/stopwatch.h"
#include "comm/collectively.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/embedding.h"
#include "train/pass/vocabulary.h"

namespace switchyard {
namespace {

GradientExchangeShape exchange_shape_of(const TrainedModel& model, const TrainPassOptions& o) {
  const ModelConfig& c = model.weights().config;
  return {
      .placement = model.ranks().placement(),
      .num_layers = static_cast<int>(c.num_layers()),
      .dim = c.hidden_size,
      .top_k = c.experts_per_token(),
      .dtype = model.weights().operand,
      .bytes = o.exchange_bytes,
      .slices_of_rank = {model.ranks().slices_of_group_ranks().begin(), model.ranks().slices_of_group_ranks().end()},
      .max_tokens = o.max_tokens,
      .max_slice_tokens = o.max_slice_tokens};
}

bool all_finite(ConstView x) {
  float sum = 0;
  for (const float value : x.span<float>()) sum += value * 0;
  return sum == 0;
}

}  // namespace

TrainPass::TrainPass(const Stream& stream, TrainedModel& model, const TrainPassOptions& options)
    : model_(model),
      options_(options),
      positions_(stream, model.weights().config, options.max_record),
      exchange_(model.ranks().group(), exchange_shape_of(model, options)) {}

StepLosses TrainPass::run(const Stream& stream, Arena& arena, const StepBatch& batch) {
  const ArenaScope scope(arena);
  const auto num_slices = static_cast<size_t>(model_.ranks().num_slices());
  const std::vector<StepBatch::Piece> pieces = batch.pieces(options_.batch_tokens);
  const ConstView positions = on_device(stream, arena, view_of<int32_t>(batch.batch.positions));
  const StepPass pass{stream, arena, model_, batch, pieces, positions, options_.exchange_bytes, options_.squares};
  StepLosses losses;

  Tape tape;
  {
    const Stopwatch stopwatch(seconds_.forward);
    tape = forward(pass);
    losses.tokens_per_expert = count_experts(tape);
  }
  if (options_.squares) losses.routing = routing_shares(pass, tape.layers);
  HeadRows kept;  // of tied embeddings, whose two gradients are squared together
  if (options_.squares && config().tied_embeddings) kept = HeadRows(pass);
  const View dx = arena.alloc(tape.last.shape, DType::f32);
  {
    const Stopwatch stopwatch(seconds_.head);
    const ArenaScope of_head(arena);
    const HeadRows head = kept.x.shape.rank() > 0 ? kept : HeadRows(pass);
    std::vector<double> loss(num_slices);
    const auto mine =
        std::span(loss).subspan(static_cast<size_t>(batch.slices.first), static_cast<size_t>(batch.slices.count()));
    backward_head(pass, tape.last, head, dx, mine);
    losses.cross_entropy =
        model_.ranks().sum_over_slices(std::move(loss), 1).front() / static_cast<double>(batch.step_targets);
    require_finite(tape, batch, losses.cross_entropy);
  }
  const Stopwatch stopwatch(seconds_.backward);
  for (size_t layer = config().layers.size(); layer-- > 0;) {
    stream.at_layer(layer);
    losses.balance += backward_layer(pass, layer, tape.layers[layer], losses.tokens_per_expert, dx);
  }
  stream.behind_layers();
  backward_embedding(pass, kept, dx);
  return losses;
}

/// dx: the gradient of the layer's result; afterwards that of its input. Returns the layer's share of the balance.
double TrainPass::backward_layer(const StepPass& pass, size_t layer, const LayerTape& tape,
                                 std::span<const int64_t> tokens_per_expert, View dx) {
  const ArenaScope scope(pass.arena);
  const MoeConfig* moe = config().layers[layer].moe();
  if (moe == nullptr) {
    backward_feed_forward(pass, layer, exchange_, tape, {}, dx);
    backward_attention(pass, layer, positions_.of_layer(layer), tape, dx);
    return 0;
  }
  const int64_t experts = moe->router.num_experts;
  const auto num_slices = model_.ranks().num_slices();
  const auto tokens = tokens_per_expert.subspan(layer * static_cast<size_t>(experts), static_cast<size_t>(experts));
  // E f_e / (tokens · layers): what a unit of a token's probability of e costs.   f_e: e's share of the assignments
  const auto step_tokens = static_cast<double>(pass.batch.step_tokens);
  std::vector<double> cost;
  for (const int64_t count : tokens)
    cost.push_back(static_cast<double>(experts) * static_cast<double>(count) /
                   (step_tokens * static_cast<double>(moe->router.experts_per_token)) / step_tokens /
                   static_cast<double>(config().num_moe_layers()));
  std::vector<float> d_probability;
  for (const double c : cost) d_probability.push_back(static_cast<float>(options_.balance * c));
  std::vector<double> probability(static_cast<size_t>(num_slices * experts));
  LayerBalance balance{
      .tokens = tokens,
      .probability_sums = View{probability.data(), {num_slices, experts}, DType::f64, Device::cpu}.slice(
          pass.batch.slices.first, pass.batch.slices.count())};
  if (options_.balance != 0) balance.d_probability = view_of<float>(d_probability);
  backward_feed_forward(pass, layer, exchange_, tape, balance, dx);
  backward_attention(pass, layer, positions_.of_layer(layer), tape, dx);
  const std::vector<double> sums = model_.ranks().sum_over_slices(std::move(probability), static_cast<size_t>(experts));
  return std::inner_product(sums.begin(), sums.end(), cost.begin(), 0.0);
}

TrainPass::Tape TrainPass::forward(const StepPass& pass) {
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const int64_t tokens = pass.batch.batch.tokens(), d = config().hidden_size;
  Tape tape;
  for (const LayerConfig& c : config().layers) {
    LayerTape layer;
    layer.x = arena.alloc({tokens, d}, DType::f32);
    layer.middle = arena.alloc({tokens, d}, DType::f32);
    layer.lse = arena.alloc({tokens, c.attention.num_heads}, DType::f32);
    if (options_.keep_products) layer.attention = AttentionTape(arena, c.attention, tokens);
    if (const MoeConfig* moe = c.moe()) {
      layer.chosen.expert = arena.alloc({tokens, moe->router.experts_per_token}, DType::i32);
      layer.chosen.weight = arena.alloc({tokens, moe->router.experts_per_token}, DType::f32);
      if (options_.keep_products) layer.gate_up = arena.alloc({kept_rows(), 2 * moe->expert_size}, DType::f32);
    }
    tape.layers.push_back(layer);
  }
  tape.last = arena.alloc({tokens, d}, DType::f32);

  const ArenaScope scope(arena);
  const ConstView ids = on_device(stream, arena, view_of<int32_t>(pass.batch.batch.ids));
  embedding(stream, ids, model_.weights().embed.view(), tape.layers.front().x);
  for (size_t layer = 0; layer < tape.layers.size(); ++layer) {
    stream.at_layer(layer);
    const LayerTape& of_layer = tape.layers[layer];
    const View next = layer + 1 < tape.layers.size() ? tape.layers[layer + 1].x : tape.last;
    copy(stream, of_layer.x, of_layer.middle);
    forward_attention(pass, layer, positions_.of_layer(layer), of_layer, of_layer.middle);
    forward_feed_forward(pass, layer, exchange_, of_layer, next);
  }
  stream.behind_layers();
  return tape;
}

/// Rows of its experts whose products a rank keeps: those of as many tokens as it has itself, and some more where
/// others may send it more.
int64_t TrainPass::kept_rows() const {
  const int64_t own = options_.max_tokens * config().experts_per_token();
  return model_.ranks().group().size() == 1 ? own : own + own / 4;
}

/// [layers, E] by all ranks.
std::vector<int64_t> TrainPass::count_experts(const Tape& tape) const {
  const auto experts = static_cast<size_t>(config().num_experts());
  std::vector<int64_t> tokens(tape.layers.size() * experts);
  for (size_t layer = 0; layer < tape.layers.size(); ++layer) {
    const ConstView chosen = tape.layers[layer].chosen.expert;
    if (chosen.data == nullptr) continue;
    for (const int32_t expert : chosen.span<int32_t>()) ++tokens[layer * experts + static_cast<size_t>(expert)];
  }
  model_.ranks().world().all_reduce({tokens.data(), {std::ssize(tokens)}, DType::i64}, ReduceOp::sum);
  return tokens;
}

void TrainPass::require_finite(const Tape& tape, const StepBatch& batch, double cross_entropy) const {
  if (std::isfinite(cross_entropy)) return;
  // The first layer, of all ranks, whose result is broken.
  int64_t layer = 0;
  while (layer < std::ssize(tape.layers) && all_finite(tape.layers[static_cast<size_t>(layer)].x)) ++layer;
  if (layer == std::ssize(tape.layers) && all_finite(tape.last)) ++layer;
  layer = model_.ranks().world().all_reduce_one(layer, ReduceOp::min);
  const std::string where = layer == 0                        ? "the embedding's result"
                            : layer > std::ssize(tape.layers) ? "the head's logits"
                                                              : fmt::format("the result of layer {}", layer - 1);
  fail_together(ExitCode::internal, "step {}: the loss is {}; the first broken numbers are in {}", batch.step,
                cross_entropy, where);
}

}  // namespace switchyard
