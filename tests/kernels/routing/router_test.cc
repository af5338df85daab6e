#include "kernels/routing/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "reference/router.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

struct Routed {
  Tensor expert, weight;
};

Routed route(const TestStream& stream, ConstView logits, int64_t k, const RouterRule& rule, ConstView bias = {},
             int64_t displacement = 0) {
  const int64_t tokens = logits.rows();
  Routed r{Tensor({tokens, k}, DType::i32), Tensor({tokens, k}, DType::f32)};
  stream.run_displaced(displacement, router_top_k, logits, rule, bias, r.expert, r.weight);
  return r;
}

std::vector<int32_t> experts_of(const Routed& routed) {
  const auto chosen = routed.expert.view().span<int32_t>();
  return {chosen.begin(), chosen.end()};
}

Tensor f32_tensor(const std::vector<float>& values) {
  Tensor t({1, static_cast<int64_t>(values.size())}, DType::f32);
  std::ranges::copy(values, t.data<float>());
  return t;
}

/// Every token by the oracle. bias: null: none
testing::AssertionResult agrees(const Routed& got, const Tensor& logits, const Tensor* bias, const RouterRule& rule) {
  const int64_t experts = logits.view().row_elements(), k = got.expert.view().row_elements();
  std::vector<double> keys;
  for (int64_t e = 0; bias != nullptr && e < experts; ++e) keys.push_back(bias->at(e));
  std::vector<reference::Bounded> weights;
  for (int64_t t = 0; t < logits.view().rows(); ++t) {
    std::vector<double> row;
    for (int64_t e = 0; e < experts; ++e) row.push_back(logits.at(t * experts + e));
    const reference::Routed want = reference::route(row, keys, rule, k);
    for (int64_t j = 0; j < k; ++j)
      if (got.expert.data<int32_t>()[t * k + j] != want.expert[static_cast<size_t>(j)])
        return testing::AssertionFailure()
               << "token " << t << " slot " << j << ": " << got.expert.data<int32_t>()[t * k + j] << ", expected "
               << want.expert[static_cast<size_t>(j)];
    weights.insert(weights.end(), want.weight.begin(), want.weight.end());
  }
  return close(got.weight, weights);
}

struct RouterCase {
  int64_t tokens, experts, k;
  bool renormalise;
};

class RouterTest : public testing::TestWithParam<std::tuple<Device, RouterCase>> {};

TEST_P(RouterTest, AgreesWithSortingAndDoublePrecision) {
  const auto [device, c] = GetParam();
  const auto [tokens, experts, k, renormalise] = c;
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  Tensor logits = random_tensor({tokens, experts}, DType::f32, 1, 6);
  for (int64_t i = 0; i < logits.size(); i += 3) logits.set(i, std::round(static_cast<float>(logits.at(i))));  // ties
  const RouterRule rule{.renormalise = renormalise};
  EXPECT_TRUE(agrees(route(TestStream(device), logits, k, rule), logits, nullptr, rule));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RouterTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(RouterCase{100, 128, 4, true}, RouterCase{100, 128, 8, false},
                                                          RouterCase{3, 5, 5, false}, RouterCase{7, 9, 1, true},
                                                          RouterCase{1, 1, 1, false}, RouterCase{0, 8, 2, true},
                                                          RouterCase{5, 70, 40, true}, RouterCase{6, 129, 8, false},
                                                          RouterCase{5, 512, 10, true},
                                                          RouterCase{5, 1000, 8, false})));

class RouterOnDeviceTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(RouterOnDeviceTest, ATokensBitsDependOnItAlone) {
  const TestStream stream(GetParam());
  for (const int64_t experts : {128, 300, 520})
    for (const RouterRule& rule :
         {RouterRule{}, RouterRule{.renormalise = true}, RouterRule{.num_groups = 4, .kept_groups = 2},
          RouterRule{.scores = RouterScores::sigmoid, .renormalise = true, .scale = 3}}) {
      const Tensor logits = random_tensor({13, experts}, DType::f32, 1, 6);
      const Routed together = route(stream, logits, 8, rule);
      for (int64_t t = 0; t < 13; ++t) {
        const Routed one = route(stream, logits.view().slice(t, 1), 8, rule, {}, t % 2);
        ASSERT_TRUE(same_row_bits(one.weight, 0, together.weight, t));
        ASSERT_EQ(std::memcmp(one.expert.row(0), together.expert.row(t), one.expert.row_bytes()), 0);
      }
    }
}

TEST_P(RouterOnDeviceTest, NaNRanksWithInfinityAndEqualsByTheirIndex) {
  Tensor logits = random_tensor({40, 96}, DType::f32, 3, 4);
  for (int64_t i = 0; i < logits.size(); i += 5) logits.set(i, i % 3 == 0 ? NAN : i % 2 == 0 ? INFINITY : -INFINITY);
  for (int64_t i = 3; i < logits.size(); i += 7) logits.set(i, i % 2 == 0 ? 0.0f : -0.0f);
  const Routed got = route(TestStream(GetParam()), logits, 12, {.renormalise = true});
  for (int64_t t = 0; t < 40; ++t) {
    const auto rank = [&](int32_t e) {
      const double logit = logits.at(t * 96 + e);
      return std::isnan(logit) ? INFINITY : logit;
    };
    std::vector<int32_t> want(96);
    std::iota(want.begin(), want.end(), 0);
    std::ranges::stable_sort(want, [&](int32_t a, int32_t b) { return rank(a) > rank(b); });
    for (int64_t j = 0; j < 12; ++j) ASSERT_EQ(got.expert.data<int32_t>()[t * 12 + j], want[j]) << "token " << t;
  }
}

TEST_P(RouterOnDeviceTest, NaNNeverGivesInvalidOrRepeatedExpertsAndShowsInTheWeights) {
  for (const int pattern : {0, 1, 2, 3}) {
    Tensor logits = random_tensor({1, 12}, DType::f32, 2);
    for (int64_t e = 0; e < 12; ++e) {
      if (pattern == 0 || (pattern == 1 && e == 5) || (pattern == 2 && e % 2 == 0)) logits.set(e, NAN);
      if (pattern == 3) logits.set(e, e % 3 == 0 ? INFINITY : -INFINITY);
    }
    for (const bool renormalise : {false, true}) {
      const Routed got = route(TestStream(GetParam()), logits, 6, {.renormalise = renormalise});
      std::set<int32_t> experts(got.expert.data<int32_t>(), got.expert.data<int32_t>() + 6);
      EXPECT_EQ(experts.size(), 6u);
      EXPECT_GE(*experts.begin(), 0);
      EXPECT_LT(*experts.rbegin(), 12);
      EXPECT_TRUE(std::isnan(got.weight.at(0)));
    }
  }
}

TEST_P(RouterOnDeviceTest, EqualLogitsTakeTheFirstExperts) {
  const Routed got = route(TestStream(GetParam()), Tensor({1, 16}, DType::f32), 4, {.renormalise = true});
  for (int j = 0; j < 4; ++j) {
    EXPECT_EQ(got.expert.data<int32_t>()[j], j);
    EXPECT_EQ(got.weight.at(j), 0.25);
  }
}

/// Pairs of groups, and in these pairs of experts, are to be equal: the first of an expert's.
int64_t first_like(int64_t expert, int64_t group_size) {
  const int64_t group = expert / group_size, place = expert % group_size;
  return (group - group % 2) * group_size + place - place % 2;
}

// Every third token has equal keys. The bias decides as much as the scores, or makes all keys negative.
TEST_P(RouterOnDeviceTest, EveryRuleAgreesWithSortingAndDoublePrecision) {
  const TestStream stream(GetParam());
  constexpr int64_t kTokens = 24, kChosen = 6;
  const struct {
    int64_t experts;
    int32_t groups, kept;
  } shapes[] = {{64, 1, 1},  {64, 4, 2},  {64, 8, 4},  {64, 8, 8}, {48, 8, 1},
                {160, 8, 3}, {40, 20, 3}, {33, 33, 7}, {70, 2, 1}};
  for (const auto& [experts, groups, kept] : shapes) {
    const int64_t size = experts / groups;
    const Tensor logits = random_tensor({kTokens, experts}, DType::f32, 1, 2);
    for (int64_t i = 0; i < logits.size(); ++i)
      if (i / experts % 3 == 0)
        logits.set(i, static_cast<float>(logits.at(i - i % experts + first_like(i % experts, size))));
    for (const float shift : {NAN, 0.0f, -3.0f}) {  // NaN: no bias
      const Tensor bias = random_tensor({experts}, DType::f32, 2, 0.5f);
      for (int64_t e = 0; e < experts; ++e) bias.set(e, static_cast<float>(bias.at(first_like(e, size)) + shift));
      for (const RouterScores scores : {RouterScores::softmax, RouterScores::sigmoid})
        for (const bool renormalise : {false, true})
          for (const float scale : {1.0f, 2.5f}) {
            const RouterRule rule{scores, renormalise, scale, groups, kept};
            const Routed got = route(stream, logits, kChosen, rule, std::isnan(shift) ? ConstView{} : ConstView(bias));
            EXPECT_TRUE(agrees(got, logits, std::isnan(shift) ? nullptr : &bias, rule))
                << experts << " experts, " << kept << " of " << groups << " groups, bias about " << shift
                << (scores == RouterScores::sigmoid ? ", sigmoid" : ", softmax")
                << (renormalise ? ", renormalised" : "");
          }
    }
  }
}

TEST_P(RouterOnDeviceTest, EqualGroupsTakeTheFirst) {
  const RouterRule rule{.scores = RouterScores::sigmoid, .num_groups = 4, .kept_groups = 2};
  const Routed got = route(TestStream(GetParam()), Tensor({1, 16}, DType::f32), 8, rule, Tensor({16}, DType::f32));
  EXPECT_EQ(experts_of(got), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

// The sum of two, not the largest: group 1 has the largest key.
TEST_P(RouterOnDeviceTest, AGroupIsItsTwoLargestKeys) {
  const Tensor logits = f32_tensor({3, 3, 0, 5, 0, 0, 4, 2.5f, 0});
  const auto chosen = [&](int32_t kept) {
    return experts_of(route(TestStream(GetParam()), logits, 3, {.num_groups = 3, .kept_groups = kept}));
  };
  EXPECT_EQ(chosen(1), (std::vector<int32_t>{6, 7, 8}));
  EXPECT_EQ(chosen(2), (std::vector<int32_t>{6, 0, 1}));
  EXPECT_EQ(chosen(3), (std::vector<int32_t>{3, 6, 0}));
}

// Where σ is 1 or 0 in f32 logits still have an order; scores with a bias do not.
TEST_P(RouterOnDeviceTest, SaturatedScoresAreOrderedByLogitsOrElseByIndex) {
  const TestStream stream(GetParam());
  const Tensor logits = f32_tensor({50, -200, 100, 1e30f, -150, 100});
  const RouterRule rule{.scores = RouterScores::sigmoid, .renormalise = true};
  const Routed by_logits = route(stream, logits, 6, rule),
               by_scores = route(stream, logits, 4, rule, Tensor({6}, DType::f32));
  EXPECT_EQ(experts_of(by_logits), (std::vector<int32_t>{3, 2, 5, 0, 4, 1}));
  EXPECT_EQ(experts_of(by_scores), (std::vector<int32_t>{0, 2, 3, 5}));
  for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(by_logits.weight.at(j), 0.25) << j;
  for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(by_scores.weight.at(j), 0.25) << j;
  EXPECT_NEAR(by_logits.weight.at(5), 0, 1e-38);
}

// Renormalised too: their sum is far below 1e-20.
TEST_P(RouterOnDeviceTest, VanishingScoresHaveNoWeight) {
  const RouterRule rule{.scores = RouterScores::sigmoid, .renormalise = true};
  const Routed got = route(TestStream(GetParam()), f32_tensor({-200, -INFINITY, -300}), 3, rule);
  for (int64_t j = 0; j < 3; ++j) EXPECT_NEAR(got.weight.at(j), 0, 1e-18) << j;
}

TEST_P(RouterOnDeviceTest, SmallScoresKeepTheirDigits) {
  const RouterRule rule{.scores = RouterScores::sigmoid};
  const Tensor logits = f32_tensor({-1, -10, -20.5f, -40, -60.25f, -85});
  EXPECT_TRUE(agrees(route(TestStream(GetParam()), logits, 6, rule), logits, nullptr, rule));
}

// Kept groups with fewer finite keys than are chosen: their other experts, in order, and none of a dropped group.
TEST_P(RouterOnDeviceTest, KeysOfMinusInfinityAreChosenLast) {
  const TestStream stream(GetParam());
  Tensor bias({8}, DType::f32);
  const auto chosen = [&](const std::vector<int64_t>& finite, int32_t groups) {
    for (int64_t e = 0; e < 8; ++e) bias.set(e, std::ranges::count(finite, e) > 0 ? 0.0f : -INFINITY);
    const RouterRule rule{.scores = RouterScores::sigmoid, .num_groups = groups, .kept_groups = groups / 2};
    return experts_of(route(stream, Tensor({1, 8}, DType::f32), 4, rule, bias));
  };
  EXPECT_EQ(chosen({5, 6}, 2), (std::vector<int32_t>{5, 6, 4, 7}));
  EXPECT_EQ(chosen({6, 7}, 4), (std::vector<int32_t>{6, 7, 0, 1}));
  EXPECT_EQ(chosen({5}, 4), (std::vector<int32_t>{0, 1, 2, 3}));  // with −∞ a group's sum is no more than the others'
  EXPECT_EQ(chosen({}, 4), (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST_P(RouterOnDeviceTest, WhatIsBrokenIsChosenAndShows) {
  const TestStream stream(GetParam());
  const Tensor logits = f32_tensor({1, 2, 3, 4, 5, 6, NAN, -INFINITY}), zeros({8}, DType::f32);
  for (const RouterScores scores : {RouterScores::softmax, RouterScores::sigmoid})
    for (const bool renormalise : {false, true}) {
      const RouterRule rule{.scores = scores, .renormalise = renormalise, .num_groups = 4, .kept_groups = 2};
      const Routed got = route(stream, logits, 4, rule), biased = route(stream, logits, 4, rule, zeros);
      for (const Routed* routed : {&got, &biased}) {
        EXPECT_EQ(experts_of(*routed), (std::vector<int32_t>{6, 5, 4, 7}));  // NaN and −∞ together are as +∞
        EXPECT_TRUE(std::isnan(routed->weight.at(0)));
      }
      const Tensor infinite = f32_tensor({1, 2, INFINITY, 4, 5, 6, -INFINITY, -INFINITY});
      EXPECT_EQ(experts_of(route(stream, infinite, 4, rule, zeros)), (std::vector<int32_t>{2, 5, 4, 3}));
    }
}

TEST_P(RouterOnDeviceTest, ImpossibleRulesAreRefused) {
  const TestStream stream(GetParam());
  const Tensor logits({2, 8}, DType::f32);
  const auto refused = [&](int64_t k, int32_t groups, int32_t kept) {
    return fails(ExitCode::internal, {"router_top_k", "8 experts"},
                 [&] { route(stream, logits, k, {.num_groups = groups, .kept_groups = kept}); });
  };
  EXPECT_NO_THROW(route(stream, logits, 4, {.num_groups = 4, .kept_groups = 2}));
  EXPECT_TRUE(refused(2, 3, 2));
  EXPECT_TRUE(refused(2, 0, 0));
  EXPECT_TRUE(refused(2, 4, 0));
  EXPECT_TRUE(refused(2, 4, 5));
  EXPECT_TRUE(refused(5, 4, 2));
  EXPECT_TRUE(refused(9, 1, 1));
  EXPECT_TRUE(fails(ExitCode::internal, {"selection bias [7]"},
                    [&] { route(stream, logits, 2, {}, Tensor({7}, DType::f32)); }));
}

INSTANTIATE_TEST_SUITE_P(Devices, RouterOnDeviceTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

}  // namespace
}  // namespace switchyard
