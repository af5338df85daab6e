// A model that is held to where it was: beside its losses λ/2 Σ F (w − w₀)², and the slope of that in its gradients.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "tests/support/expect_error.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

constexpr double kLambda = 5;

/// Of an element in canonical order.
float importance_of(int64_t element) {
  return element % 3 == 0 ? 0 : random_uniform(7, static_cast<uint64_t>(element));
}

FisherSource made_up_importance(const ParameterSpace& space) {
  return {"made up", [&space](const Parameter& p, int64_t first, std::span<float> out) {
            const auto [block, offset] = space.place_of(p);
            const int64_t begin = space.blocks()[block].first + offset + first;
            for (size_t i = 0; i < out.size(); ++i) out[i] = importance_of(begin + static_cast<int64_t>(i));
          }};
}

/// Two steps from made-up weights: what the second one began with and found.
struct TwoSteps {
  std::vector<float> masters;   ///< between the steps; 0 of what does not train
  std::vector<float> gradient;  ///< of the second; NaN where none was written
  std::vector<double> penalties;
  Hash128 importance;
};
TwoSteps two_steps(TrainingCase c, const TrainingLayout& layout, double ewc) {
  c.optimiser.ewc = ewc;
  TwoSteps result;
  run_thread_ranks(layout.ranks, [&](Communicator& world) {
    TrainerOptions options = options_of(c, layout);
    options.shape.anchored = ewc > 0;
    Trainer trainer(world, c.config, options);
    set_parameters(trainer.model(), made_up_parameters(c.config));
    TwoSteps own;
    if (ewc > 0) {
      trainer.hold(made_up_importance(trainer.model().space()));
      own.importance = trainer.importance_hash();
    }
    own.penalties.push_back(trainer.step(made_up_step(c, trainer.ranks(), 1), c.learning_rate).penalty);
    own.masters = gather_all(trainer.model(), &Shard::master);
    poison_gradients(trainer.model());
    own.penalties.push_back(trainer.step(made_up_step(c, trainer.ranks(), 2), c.learning_rate).penalty);
    own.gradient = gather_all(trainer.model(), &Shard::gradient);
    if (world.rank() == 0) result = std::move(own);
  });
  return result;
}

/// So many experts that some have no tokens.
TrainingCase holding_case(PassEngine::Select select = {}) {
  TrainingCase c{.config = trainable_config("qwen3_moe"), .step_records = 2, .select = std::move(select)};
  for (LayerConfig& layer : c.config.layers)
    if (auto* moe = std::get_if<MoeConfig>(&layer.feed_forward)) moe->router.num_experts = 32;
  c.optimiser.max_grad_norm = 0;
  return c;
}

PassEngine::Select some_elements() {
  SelectionOptions o;
  o.rule = SelectionRule::random;
  o.frozen = Decimal::parse("0.7", "--freeze");
  return [o](const ParameterSpace& space, const TrainRanks& ranks) { return Selection(space, ranks, o, {}); };
}

// Experts without tokens are held, too.
TEST(Holding, GradientsHaveThePenaltysSlope) {
  for (const PassEngine::Select& select : {PassEngine::Select(), some_elements()}) {
    const TrainingCase c = holding_case(select);
    const TwoSteps held = two_steps(c, {}, kLambda), loose = two_steps(c, {}, 0);
    ASSERT_EQ(held.masters, loose.masters);  // where it was there is no slope
    const std::vector<float> before = made_up_parameters(c.config);
    double penalty = 0;
    int64_t alone = 0;  // that only the penalty moves
    for (size_t i = 0; i < before.size(); ++i) {
      if (select && held.masters[i] == 0) continue;
      const double moved = static_cast<double>(held.masters[i]) - static_cast<double>(before[i]);
      const double importance = importance_of(static_cast<int64_t>(i));
      penalty += kLambda / 2 * importance * moved * moved;
      const double loss_slope = std::isnan(loose.gradient[i]) ? 0 : loose.gradient[i];
      const double expected = loss_slope + kLambda * importance * moved;
      ASSERT_NEAR(held.gradient[i], expected, 1e-6 * (std::abs(loss_slope) + std::abs(expected)) + 1e-9) << i;
      alone += std::isnan(loose.gradient[i]) && moved != 0 ? 1 : 0;
    }
    EXPECT_EQ(held.penalties[0], 0);
    EXPECT_NEAR(held.penalties[1], penalty, 1e-6 * penalty);
    EXPECT_GT(penalty, 0);
    EXPECT_GT(alone, 0);
  }
}

TEST(Holding, BitsAreThoseOfOneRank) {
  for (const PassEngine::Select& select : {PassEngine::Select(), some_elements()}) {
    TrainingCase c = holding_case(select);
    const TwoSteps one = two_steps(c, {}, kLambda);
    for (const TrainingLayout layout : {TrainingLayout{.ranks = 3, .ep = 1}, {.ranks = 4, .ep = 2, .threads = 2}}) {
      const TwoSteps several = two_steps(c, layout, kLambda);
      EXPECT_EQ(several.masters, one.masters) << layout.ranks;
      EXPECT_EQ(several.penalties, one.penalties) << layout.ranks;
      EXPECT_EQ(several.importance.hex(), one.importance.hex()) << layout.ranks;
    }
  }
}

TEST(Holding, WhatIsNoImportanceIsRefused) {
  for (const float wrong : {-1.0f, NAN, INFINITY}) {
    run_thread_ranks(1, [&](Communicator& world) {
      TrainingCase c = holding_case();
      TrainerOptions options = options_of(c, {});
      options.shape.anchored = true;
      Trainer trainer(world, c.config, options);
      const FisherSource spoilt(
          "FILE", [wrong](const Parameter&, int64_t, std::span<float> out) { std::ranges::fill(out, wrong); });
      EXPECT_TRUE(fails_input({"FILE", "row 0, column 0"}, [&] { trainer.hold(spoilt); }));
    });
  }
}

}  // namespace
}  // namespace switchyard::test
