#include "train/data/mixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using Weights = std::vector<double>;
using Parts = std::vector<int64_t>;

/// At every turn of two periods each stream has had within one of its due, and its turns are counted.
void expect_fair(const Mixture& mixture) {
  Parts had(mixture.parts().size(), 0);
  for (int64_t n = 1; n <= 2 * mixture.period(); ++n) {
    const Mixture::Turn turn = mixture.turn(n - 1);
    ASSERT_EQ(turn.index, had[static_cast<size_t>(turn.stream)]++);
    for (size_t i = 0; i < had.size(); ++i)
      ASSERT_LT(std::abs(mixture.parts()[i] * n - had[i] * mixture.period()), mixture.period()) << i << " at " << n;
  }
}

TEST(Mixture, PartsAreExactWhereTheyCanBe) {
  EXPECT_EQ(Mixture(Weights{5}).parts(), (Parts{1}));
  EXPECT_EQ(Mixture(Weights{70, 20, 10}).parts(), (Parts{7, 2, 1}));
  EXPECT_EQ(Mixture(Weights{0.7, 0.2, 0.1}).parts(), (Parts{7, 2, 1}));
  EXPECT_EQ(Mixture(Weights{1, 1, 1}).parts(), (Parts{1, 1, 1}));
  EXPECT_EQ(Mixture(Weights{3, 1, 2.5}).parts(), (Parts{6, 2, 5}));
  EXPECT_EQ(Mixture(Weights{0.123457, 0.876543}).parts(), (Parts{123457, 876543}));
}

TEST(Mixture, OtherPartsAreTheNearestMillionths) {
  for (const Weights& weights : {Weights{1, std::numbers::sqrt2, std::numbers::pi}, Weights{1, 1e-9, 1e-12, 0.3}}) {
    const Mixture mixture(weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    EXPECT_EQ(std::accumulate(mixture.parts().begin(), mixture.parts().end(), int64_t{0}), mixture.period());
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_GE(mixture.parts()[i], 1);
      EXPECT_NEAR(static_cast<double>(mixture.parts()[i]) / static_cast<double>(mixture.period()), weights[i] / sum,
                  4e-6);
    }
  }
}

TEST(Mixture, IsWithinOneOfItsWeightsAtEveryTurn) {
  expect_fair(Mixture(Weights{1}));
  expect_fair(Mixture(Weights{1, 41, 1, 139, 135, 22, 133}));  // who takes the one furthest behind is off by 1.06
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    Weights weights(1 + random() % 9);
    for (double& weight : weights) weight = std::floor(std::exp(std::uniform_real_distribution(0.0, 6.0)(random)));
    expect_fair(Mixture(weights));
  }
}

TEST(Mixture, HasABoundOnStreams) {
  expect_fair(Mixture(Weights(Mixture::kMaxStreams, 1)));
  EXPECT_TRUE(
      test::fails(ExitCode::usage, {"--weights", "257", "256"}, [] { Mixture(Weights(Mixture::kMaxStreams + 1, 1)); }));
}

}  // namespace
}  // namespace switchyard
