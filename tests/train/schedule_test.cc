#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

/// Two numbers of type double that a few roundings may stand between.
void expect_same(double found, double expected) {
  EXPECT_NEAR(found, expected, 1e-15 + 1e-14 * std::abs(expected));
}

// Of a run in PyTorch.
TEST(Schedule, CosineAsOthersHaveIt) {
  const Schedule schedule{Decay::cosine, 3e-3, 0.1, 10, 50};
  for (const auto& [step, rate] : {std::pair(1, 0.00030000000000000003),
                                   {9, 0.0027},
                                   {10, 0.003},
                                   {11, 0.0029958384005397227},
                                   {12, 0.002983379259803436},
                                   {25, 0.002166622633692871},
                                   {30, 0.0016500000000000002},
                                   {49, 0.00030416159946027727},
                                   {50, 0.0003}})
    expect_same(schedule.rate(step), rate);
}

/// torch.optim.lr_scheduler.CosineAnnealingLR(eta_min, T_max), in closed form.
TEST(Schedule, CosineFallsToItsLeast) {
  constexpr double kPeak = 0.02, kLeast = 0.02 * 0.25;
  const Schedule schedule{Decay::cosine, kPeak, 0.25, 0, 40};
  for (int64_t step = 1; step <= 40; ++step)
    expect_same(schedule.rate(step),
                kLeast + (kPeak - kLeast) * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / 40)) / 2);
  expect_same(schedule.rate(40), kLeast);
}

/// torch.optim.lr_scheduler.LinearLR(start_factor=1, end_factor, total_iters), in closed form, behind a warm-up.
TEST(Schedule, LinearIsALine) {
  const Schedule schedule{Decay::linear, 1, 0.1, 5, 25};
  expect_same(schedule.rate(1), 0.2);
  expect_same(schedule.rate(5), 1);
  expect_same(schedule.rate(10), 1 - 0.9 * 5 / 20);
  expect_same(schedule.rate(25), 0.1);
  EXPECT_EQ((Schedule{Decay::linear, 1, 0, 0, 8}.rate(8)), 0);
}

TEST(Schedule, ConstantStays) {
  const Schedule schedule{Decay::constant, 0.5, 0.1, 2, 10};
  EXPECT_EQ(schedule.rate(1), 0.25);
  for (int64_t step = 2; step <= 10; ++step) EXPECT_EQ(schedule.rate(step), 0.5);
}

TEST(Schedule, WsdFallsInTheLastTenth) {
  const Schedule schedule{Decay::wsd, 2, 0.5, 10, 100};
  EXPECT_EQ(schedule.rate(5), 1);
  for (int64_t step = 10; step <= 90; ++step) EXPECT_EQ(schedule.rate(step), 2);
  for (int64_t step = 91; step <= 100; ++step)
    expect_same(schedule.rate(step), 2 - 0.1 * static_cast<double>(step - 90));
  expect_same((Schedule{Decay::wsd, 2, 0.5, 0, 5}.rate(4)), 2);
  expect_same((Schedule{Decay::wsd, 2, 0.5, 0, 5}.rate(5)), 1);
  expect_same((Schedule{Decay::wsd, 2, 0.5, 98, 100}.rate(99)), 1.5);  // the warm-up takes of the last tenth
}

TEST(Schedule, MayBeAllWarmUp) {
  for (const Decay decay : {Decay::cosine, Decay::linear, Decay::constant, Decay::wsd}) {
    const Schedule schedule{decay, 1, 0.1, 4, 4};
    EXPECT_EQ(schedule.rate(1), 0.25);
    EXPECT_EQ(schedule.rate(4), 1);
    EXPECT_TRUE(std::isfinite((Schedule{decay, 1, 0.1, 0, 1}.rate(1))));
  }
}

TEST(Schedule, HasNames) {
  EXPECT_EQ(decay_of("cosine"), Decay::cosine);
  EXPECT_EQ(decay_of("linear"), Decay::linear);
  EXPECT_EQ(decay_of("constant"), Decay::constant);
  EXPECT_EQ(decay_of("wsd"), Decay::wsd);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"polynomial", "wsd"}, [] { decay_of("polynomial"); }));
}

}  // namespace
}  // namespace switchyard
