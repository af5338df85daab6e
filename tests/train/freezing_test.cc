// Training of a part of a model: what trains does so as it would beside everything else, and the rest stays.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "io/file.h"
#include "tests/support/temporary_directory.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

PassEngine::Select by_chance(std::string_view share, Granularity granularity, std::set<SpecialKind> also = {}) {
  SelectionOptions o;
  o.rule = SelectionRule::random;
  o.granularity = granularity;
  o.frozen = Decimal::parse(share, "--freeze");
  o.also = std::move(also);
  return [o](const ParameterSpace& space, const TrainRanks& ranks) { return Selection(space, ranks, o, {}); };
}

PassEngine::Select layers_alone(std::set<int64_t> layers) {
  SelectionOptions o;
  o.choose = false;
  o.also = {SpecialKind::router, SpecialKind::norms, SpecialKind::biases};
  o.layers = std::move(layers);
  return [o](const ParameterSpace& space, const TrainRanks& ranks) { return Selection(space, ranks, o, {}); };
}

/// Weights as products take them, as numbers: in canonical order, at all ranks.
std::vector<float> all_weights(const TrainedModel& model) {
  const TrainRanks& ranks = model.ranks();
  const ParameterSpace& space = model.space();
  std::vector<float> all(static_cast<size_t>(space.num_elements()));
  auto& weights = const_cast<ModelWeights&>(model.weights());
  for_each_tensor(
      weights.config, ranks.placement().experts_of(ranks.group().rank()), &weights, [&](const StoredTensor& tensor) {
        const ParameterBlock& block = space.blocks()[space.block_of(tensor)];
        if (tensor.tied || ranks.world_rank_of_holder(block, 0) != ranks.rank()) return;
        const auto [index, offset] = space.place_of(tensor.parameters().front());
        const View to{all.data() + block.first + offset, tensor.shape(), DType::f32, Device::cpu};
        if (tensor.matrix != nullptr) return tensor.matrix->read_rows(0, to);
        const View from = tensor.tensor->view();
        for (int64_t i = 0; i < from.elements(); ++i)
          to.as<float>()[i] = from.dtype == DType::f32 ? from.as<float>()[i] : to_float(from.as<BFloat16>()[i]);
      });
  ranks.world().all_reduce({all.data(), {std::ssize(all)}, DType::i32}, ReduceOp::sum);
  return all;
}

/// What trains, in canonical order, as numbers: at all ranks.
std::vector<int32_t> trained(const TrainedModel& model) {
  std::vector<int32_t> all(static_cast<size_t>(model.space().num_elements()));
  for (const Shard& shard : model.shards())
    for (int64_t i = shard.owned.first; i < shard.owned.end; ++i)
      all[static_cast<size_t>(model.space().blocks()[shard.block].first + i)] = shard.trained->has(i) ? 1 : 0;
  model.ranks().world().all_reduce({all.data(), {std::ssize(all)}, DType::i32}, ReduceOp::sum);
  return all;
}

struct Trained {
  std::vector<float> masters, weights;
  std::vector<int32_t> trains;
  std::vector<double> losses, norms;
};
Trained run(const TrainingCase& c, const TrainingLayout& layout = {}) {
  Trained result;
  run_thread_ranks(layout.ranks, [&](Communicator& world) {
    Trainer trainer(world, c.config, options_of(c, layout));
    set_parameters(trainer.model(), made_up_parameters(c.config));
    Trained own;
    for (int64_t step = 1; step <= c.steps; ++step) {
      poison_gradients(trainer.model());
      const StepResult result_of_step = trainer.step(made_up_step(c, trainer.ranks(), step), c.learning_rate);
      own.losses.push_back(result_of_step.losses.cross_entropy);
      own.norms.push_back(result_of_step.gradient_norm);
    }
    own.masters = gather_all(trainer.model(), &Shard::master);
    own.weights = all_weights(trainer.model());
    own.trains = trained(trainer.model());
    if (world.rank() == 0) result = std::move(own);
  });
  return result;
}

TrainingCase freezing_case(const std::string& family, DType operand = DType::f32) {
  TrainingCase c{.config = trainable_config(family), .operand = operand};
  c.optimiser.max_grad_norm = 0;
  return c;
}

const std::pair<const char*, PassEngine::Select> kSelections[] = {
    {"elements", by_chance("0.9", Granularity::element)},
    {"rows", by_chance("0.8", Granularity::row, {SpecialKind::norms})},
    {"experts", by_chance("0.7", Granularity::expert)},
    {"with all that is special",
     by_chance("0.5", Granularity::element, {SpecialKind::router, SpecialKind::norms, SpecialKind::biases})},
    {"one layer", layers_alone({1})}};

// Step one has the same gradient as a step in which everything trains.
TEST(Freezing, WhatTrainsIsTrainedAsBesideEverythingElse) {
  for (const auto& [family, config] : trainable_configs())
    for (const DType operand : {DType::f32, DType::bf16}) {
      TrainingCase c = freezing_case(family, operand);
      c.steps = 1;
      const Trained dense = run(c);
      const std::vector<float> before = made_up_parameters(c.config);
      for (const auto& [name, select] : kSelections) {
        c.select = select;
        const Trained got = run(c);
        int64_t moved = 0;
        for (size_t i = 0; i < before.size(); ++i) {
          if (got.trains[i] != 0) {
            ASSERT_EQ(got.masters[i], dense.masters[i]) << family << ", " << name << ", element " << i;
            ASSERT_EQ(got.weights[i], dense.weights[i]) << family << ", " << name << ", element " << i;
            moved += got.weights[i] != before[i] ? 1 : 0;
          } else {
            ASSERT_EQ(std::bit_cast<uint32_t>(got.weights[i]), std::bit_cast<uint32_t>(before[i]))
                << family << ", " << name << ", element " << i;
          }
        }
        EXPECT_GT(moved, 0) << family << ", " << name;
        EXPECT_LT(got.norms[0], dense.norms[0]) << family << ", " << name;
        EXPECT_EQ(got.losses[0], dense.losses[0]) << family << ", " << name;
      }
    }
}

// Ranks, groups, replicas, windows, pieces: the same masters and weights, bit for bit, and what is frozen stays.
TEST(Freezing, BitsAreThoseOfOneRank) {
  for (const std::string family : {"qwen3_moe", "gpt_oss", "deepseek_v3"})
    for (const auto& [name, select] : kSelections) {
      TrainingCase c = freezing_case(family);
      c.optimiser.max_grad_norm = 0.5;
      c.steps = 4;
      c.select = select;
      const Trained one = run(c);
      const std::vector<float> before = made_up_parameters(c.config);
      for (size_t i = 0; i < before.size(); ++i) {
        if (one.trains[i] == 0) {
          ASSERT_EQ(std::bit_cast<uint32_t>(one.weights[i]), std::bit_cast<uint32_t>(before[i])) << name << i;
        }
      }
      for (const TrainingLayout layout : {TrainingLayout{.ranks = 2, .ep = 2},
                                          {.ranks = 3, .ep = 1, .threads = 2},
                                          {.ranks = 4, .ep = 2, .exchange_bytes = 1 << 12},
                                          {.ranks = 7, .ep = 7, .batch_tokens = 20, .keep_products = true}}) {
        const Trained several = run(c, layout);
        EXPECT_EQ(several.masters, one.masters) << family << ", " << name << " on " << layout.ranks;
        EXPECT_EQ(several.weights, one.weights) << family << ", " << name << " on " << layout.ranks;
        EXPECT_EQ(several.losses, one.losses) << family << ", " << name << " on " << layout.ranks;
        EXPECT_EQ(several.norms, one.norms) << family << ", " << name << " on " << layout.ranks;
      }
    }
}

// One tenth of everything, and a bit for each element that could.
TEST(Freezing, StateIsThatOfWhatTrains) {
  TrainingCase c = freezing_case("switchyard");
  c.select = by_chance("0.9", Granularity::element);
  run_thread_ranks(1, [&](Communicator& world) {
    Trainer trainer(world, c.config, options_of(c, {}));
    const TrainedModel& model = trainer.model();
    size_t bytes = 0;
    for (const Shard& shard : model.shards()) {
      bytes += shard.master.bytes() + shard.first_moment.bytes() + shard.second_moment.bytes() + shard.trained->bytes();
      EXPECT_EQ(shard.gradient.bytes(), shard.master.bytes());
    }
    const auto dense = static_cast<double>(12 * model.space().num_elements());
    EXPECT_LE(static_cast<double>(bytes), 0.12 * dense);
  });
}

std::string files_in(const std::filesystem::path& folder) {
  std::string all;
  for (const std::filesystem::path& file : list_directory(folder))
    all += file.filename().native() + '\n' + read_text_file(file);
  return all;
}

// A checkpoint has what trains, in bytes that know of no ranks, and training goes on from it on others.
TEST(Freezing, TrainingGoesOnFromACheckpointOnOtherRanks) {
  for (const auto& [name, select] : kSelections) {
    TrainingCase c = freezing_case("qwen3_moe");
    c.select = select;
    c.steps = 4;
    const Trained whole = run(c);
    const TemporaryDirectory one, several;
    const auto save = [&](const TemporaryDirectory& to, const TrainingLayout& layout) {
      run_thread_ranks(layout.ranks, [&](Communicator& world) {
        Trainer trainer(world, c.config, options_of(c, layout));
        set_parameters(trainer.model(), made_up_parameters(c.config));
        for (int64_t step = 1; step <= 2; ++step) trainer.step(made_up_step(c, trainer.ranks(), step), c.learning_rate);
        Checkpoints(to.path(), trainer.model(), "this run")
            .save(
                {.step = 2}, [] {}, [] {});
      });
      return files_in(to.path() / "checkpoints/step-000002");
    };
    ASSERT_EQ(save(several, {.ranks = 4, .ep = 2}), save(one, {})) << name;
    run_thread_ranks(3, [&](Communicator& world) {
      const TrainingLayout layout{.ranks = 3, .ep = 3};
      Trainer trainer(world, c.config, options_of(c, layout));
      set_parameters(trainer.model(), made_up_parameters(c.config));
      Checkpoints checkpoints(several.path(), trainer.model(), "this run");
      ASSERT_TRUE(checkpoints.restore(trainer.stream(), [] {}).has_value());
      for (int64_t step = 3; step <= 4; ++step) trainer.step(made_up_step(c, trainer.ranks(), step), c.learning_rate);
      const std::vector<float> masters = gather_all(trainer.model(), &Shard::master),
                               weights = all_weights(trainer.model());
      if (world.rank() != 0) return;
      EXPECT_EQ(masters, whole.masters) << name;
      EXPECT_EQ(weights, whole.weights) << name;
    });
  }
}

}  // namespace
}  // namespace switchyard::test
