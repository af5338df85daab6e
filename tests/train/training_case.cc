#include "tests/train/training_case.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/rng.h"
#include "train/parameters/step_slices.h"

namespace switchyard::test {
namespace {

ModelConfig model(std::string family) {
  return {.family = std::move(family), .vocab_size = 83, .hidden_size = 40, .rms_norm_eps = 1e-6, .max_positions = 64};
}

constexpr MoeConfig kMoe{.router = {.num_experts = 7, .experts_per_token = 3, .renormalise = true}, .expert_size = 24};

/// Per-head norms, weights that are shares among all experts, a tied head, biases, a dense layer; YaRN.
ModelConfig qwen3() {
  ModelConfig c = model("qwen3_moe");
  c.tied_embeddings = true;
  AttentionConfig attention = AttentionConfig::of_heads(4, 2, 12, 10'000);
  attention.qk_norm = QkNorm::before_rotary;
  attention.input_bias = attention.output_bias = true;
  attention.rotary.scaling = YarnScaling{.factor = 4, .original_positions = 16};
  MoeConfig moe = kMoe;
  moe.router.renormalise = false;
  c.layers = {{attention, moe}, {attention, DenseConfig{56}}, {attention, moe}};
  return c;
}

/// A window, one key-value head.
ModelConfig mixtral() {
  ModelConfig c = model("mixtral");
  AttentionConfig attention = AttentionConfig::of_heads(5, 1, 8, 10'000);
  attention.span = {KeySpan::Kind::window, 6};
  c.layers = {{attention, kMoe}, {attention, kMoe}};
  return c;
}

/// A shared expert, as many key-value heads as query heads.
ModelConfig switchyard() {
  ModelConfig c = model("switchyard");
  const AttentionConfig attention = AttentionConfig::of_heads(4, 4, 10, 10'000);
  MoeConfig moe = kMoe;
  moe.shared_size = 24;
  c.layers = {{attention, moe}, {attention, moe}};
  return c;
}

/// Sinks, a window in one layer, biases everywhere, clamped activations.
ModelConfig gpt_oss() {
  ModelConfig c = model("gpt_oss");
  AttentionConfig attention = AttentionConfig::of_heads(4, 2, 10, 10'000);
  attention.input_bias = attention.output_bias = attention.sinks = true;
  AttentionConfig windowed = attention;
  windowed.span = {KeySpan::Kind::window, 5};
  MoeConfig moe = kMoe;
  moe.router.bias = moe.biases = true;
  moe.activation = {.clamped = true, .alpha = 1.702, .limit = 1};
  c.layers = {{windowed, moe}, {attention, moe}};
  return c;
}

/// Latents, with and without those of queries; sigmoids, groups of experts, a bias for the choice, a dense layer.
ModelConfig deepseek_v3() {
  ModelConfig c = model("deepseek_v3");
  AttentionConfig attention = AttentionConfig::of_heads(4, 4, 14, 10'000);
  attention.value_dim = 10;
  attention.input_bias = true;
  attention.rotary.first = 8;
  attention.rotary.dim = 6;
  attention.rotary.pairs = RotaryPairs::adjacent;
  attention.projections = LatentProjections{.query_rank = 18, .kv_rank = 12};
  AttentionConfig direct_queries = attention;
  direct_queries.projections = LatentProjections{.kv_rank = 20};
  MoeConfig moe = kMoe;
  moe.router = {.num_experts = 8,
                .experts_per_token = 3,
                .selection_bias = true,
                .scores = RouterScores::sigmoid,
                .renormalise = true,
                .scale = 2.5,
                .num_groups = 4,
                .kept_groups = 2};
  moe.shared_size = 40;
  c.layers = {{attention, DenseConfig{56}}, {direct_queries, moe}, {attention, moe}};
  return c;
}

/// A part of each head turns, per-head norms, weights of sigmoids as they are.
ModelConfig glm4() {
  ModelConfig c = model("glm4_moe");
  AttentionConfig attention = AttentionConfig::of_heads(4, 2, 12, 10'000);
  attention.qk_norm = QkNorm::before_rotary;
  attention.input_bias = true;
  attention.rotary.dim = 6;
  MoeConfig moe = kMoe;
  moe.router.selection_bias = true;
  moe.router.scores = RouterScores::sigmoid;
  moe.router.renormalise = false;
  moe.shared_size = 24;
  c.layers = {{attention, moe}, {attention, moe}};
  return c;
}

/// Experts whose input is scaled; chunks with norms after turning, then no turning and queries scaled by position.
ModelConfig llama4() {
  ModelConfig c = model("llama4");
  AttentionConfig chunked = AttentionConfig::of_heads(4, 2, 12, 10'000), plain = chunked;
  chunked.rotary.pairs = RotaryPairs::adjacent;
  chunked.qk_norm = QkNorm::after_rotary;
  chunked.span = {KeySpan::Kind::chunk, 7};
  plain.rotary = {};
  plain.temperature = {.scale = 0.4, .floor = 4};
  MoeConfig moe = kMoe;
  moe.router = {.num_experts = 7, .experts_per_token = 1, .scores = RouterScores::sigmoid};
  moe.scaled_input = true;
  moe.shared_size = 24;
  c.layers = {{chunked, moe}, {plain, DenseConfig{40}}, {plain, moe}};
  return c;
}

}  // namespace

std::vector<std::pair<std::string, ModelConfig>> trainable_configs() {
  return {{"qwen3_moe", qwen3()},         {"mixtral", mixtral()}, {"switchyard", switchyard()}, {"gpt_oss", gpt_oss()},
          {"deepseek_v3", deepseek_v3()}, {"glm4_moe", glm4()},   {"llama4", llama4()}};
}

ModelConfig trainable_config(std::string_view family) {
  for (auto& [name, config] : trainable_configs())
    if (name == family) return config;
  fail(ExitCode::internal, "no configuration of {}", family);
}

ModelConfig with_long_vocabulary(std::string_view family) {
  ModelConfig config = trainable_config(family);
  config.vocab_size = 2 * TrainedModel::kVocabularyTile + 4;
  return config;
}

Record made_up_record(const ModelConfig& config, int64_t step, int64_t index) {
  const auto seed = static_cast<uint64_t>(step * 1000 + index);
  Record record;
  // Few ids are drawn more than once; some experts stay without tokens.
  record.tokens.resize(2 + random_bits(seed, 0) % 19);
  for (size_t i = 0; i < record.tokens.size(); ++i)
    record.tokens[i] = static_cast<int32_t>(random_bits(seed, i + 1) % static_cast<uint64_t>(config.vocab_size));
  if (index % 3 == 1) record.context = static_cast<int64_t>(record.tokens.size()) / 2;
  return record;
}

StepBatch step_of(const std::vector<Record>& records, const TrainRanks& ranks, int64_t step) {
  std::vector<int64_t> tokens;
  int64_t targets = 0;
  for (const Record& record : records) {
    tokens.push_back(std::ssize(record.tokens) - 1);
    targets += std::ssize(record.tokens) - record.context;
  }
  const std::vector<int64_t> ends = cut_into_slices(tokens, ranks.num_slices());
  StepBatch batch(ranks.slices());
  batch.step = step;
  for (int64_t s = batch.slices.first; s < batch.slices.end; ++s) {
    batch.begin_slice();
    for (int64_t r = ends[static_cast<size_t>(s)]; r < ends[static_cast<size_t>(s) + 1]; ++r)
      batch.add(records[static_cast<size_t>(r)].tokens, records[static_cast<size_t>(r)].context);
  }
  batch.end();
  batch.step_tokens = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  batch.step_targets = targets;
  return batch;
}

StepBatch made_up_step(const TrainingCase& c, const TrainRanks& ranks, int64_t step) {
  std::vector<Record> records;
  for (int64_t i = 0; i < c.step_records; ++i) records.push_back(made_up_record(c.config, step, i));
  return step_of(records, ranks, step);
}

TrainMemoryRequest shape_of(const TrainingCase& c, const TrainingLayout& layout) {
  const int64_t most = 19 * c.step_records;
  return {.operand = c.operand,
          .world_size = layout.ranks,
          .ep = layout.ep,
          .threads = layout.threads,
          .num_slices = c.num_slices,
          .rank_tokens = most,
          .slice_tokens = most,
          .longest = 64,
          .batch_tokens = layout.batch_tokens,
          .exchange_bytes = layout.exchange_bytes,
          .trained = c.select ? 0.5 : 1,
          .keep_products = layout.keep_products};
}

TrainerOptions options_of(const TrainingCase& c, const TrainingLayout& layout) {
  return {.shape = shape_of(c, layout), .balance = c.balance, .optimiser = c.optimiser, .select = c.select};
}

std::vector<float> gather_all(const TrainedModel& model, View Shard::*values) {
  Communicator& world = model.ranks().world();
  std::vector<float> all(static_cast<size_t>(model.space().num_elements()));
  for (const Shard& shard : model.shards()) {
    const int64_t first = model.space().blocks()[shard.block].first + shard.owned.first;
    shard.trained->expand(shard.owned, (shard.*values).span<float>(),
                          std::span(all).subspan(static_cast<size_t>(first), static_cast<size_t>(shard.owned.count())));
  }
  // Of others' elements 0. As whole numbers, for −0 + 0 is 0.
  world.all_reduce({all.data(), {std::ssize(all)}, DType::i32}, ReduceOp::sum);
  return all;
}

TrainedBits train(const TrainingCase& c, const TrainingLayout& layout, const std::function<void(Trainer&)>& start) {
  TrainedBits bits;
  run_thread_ranks(layout.ranks, [&](Communicator& world) {
    Trainer trainer(world, c.config, options_of(c, layout));
    if (start)
      start(trainer);
    else
      trainer.initialise({.seed = 7, .range = 0.3});
    std::vector<StepResult> steps;
    for (int64_t step = 1; step <= c.steps; ++step) {
      poison_gradients(trainer.model());
      steps.push_back(trainer.step(made_up_step(c, trainer.ranks(), step), c.learning_rate));
    }
    TrainedBits own{std::move(steps), gather_all(trainer.model(), &Shard::master),
                    gather_all(trainer.model(), &Shard::first_moment),
                    gather_all(trainer.model(), &Shard::second_moment)};
    if (world.rank() == 0) bits = std::move(own);
  });
  return bits;
}

std::vector<ParameterPlace> places_of(const ParameterSpace& space) {
  std::vector<ParameterPlace> places;
  for (const ParameterBlock& block : space.blocks())
    for (const BlockTensor& tensor : block.tensors) {
      int64_t first = block.first + tensor.offset;
      for (const Parameter& parameter : tensor.tensor.parameters()) {
        places.push_back({parameter, first, parameter.shape.elements()});
        first += parameter.shape.elements();
      }
    }
  return places;
}

std::vector<float> made_up_parameters(const ModelConfig& config) {
  std::vector<float> all;
  uint64_t seed = 0;
  for (const ParameterPlace& place : places_of(ParameterSpace(config))) {
    ++seed;
    for (int64_t i = 0; i < place.count; ++i)
      all.push_back(to_float(to_bfloat16((place.parameter.around_one ? 1.0f : 0.0f) +
                                         0.3f * random_normal(seed, static_cast<uint64_t>(i)))));
  }
  return all;
}

void set_parameters(TrainedModel& model, const std::vector<float>& parameters) {
  std::vector<float> values = parameters;
  const std::vector<ParameterBlock>& blocks = model.space().blocks();
  for (size_t block = 0; block < blocks.size(); ++block)
    for (const BlockTensor& tensor : blocks[block].tensors)
      if (model.ranks().holds(model.space().blocks()[block]))
        model.set(tensor.tensor, {values.data() + blocks[block].first + tensor.offset, tensor.tensor.shape(),
                                  DType::f32, Device::cpu});
}

void poison_gradients(const TrainedModel& model) {
  for (const Shard& shard : model.shards()) std::ranges::fill(shard.gradient.span<float>(), NAN);
}

StepGradient gradient_of(const TrainingCase& c, const std::vector<Record>& records,
                         const std::function<void(Trainer&)>& start) {
  StepGradient result;
  run_thread_ranks(1, [&](Communicator& world) {
    TrainerOptions options = options_of(c, {});
    int64_t tokens = 0, longest = 0;
    for (const Record& record : records) {
      tokens += std::ssize(record.tokens);
      longest = std::max(longest, std::ssize(record.tokens));
    }
    options.shape.rank_tokens = options.shape.slice_tokens = tokens;
    options.shape.longest = longest;
    Trainer trainer(world, c.config, options);
    start(trainer);
    poison_gradients(trainer.model());
    result = {trainer.step(step_of(records, trainer.ranks(), 1), 0), gather_all(trainer.model(), &Shard::gradient)};
  });
  return result;
}

}  // namespace switchyard::test
