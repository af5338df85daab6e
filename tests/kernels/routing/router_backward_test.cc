#include "reference/router_backward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/routing/router.h"
#include "reference/central_difference.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

struct RouterBackwardCase {
  int64_t tokens, experts, k;
};

std::ostream& operator<<(std::ostream& os, const RouterBackwardCase& c) {
  return os << c.k << "_of_" << c.experts << "_for_" << c.tokens;
}

/// A batch that the router has routed. d_probability: empty where the loss has no balancing term
struct RouterBackwardBatch {
  RouterRule rule;
  Tensor logits, expert, weight, d_weight, d_probability;

  RouterBackwardBatch(const RouterBackwardCase& c, const RouterRule& r)
      : rule(r),
        logits(random_tensor({c.tokens, c.experts}, DType::f32, 1, 6)),
        expert({c.tokens, c.k}, DType::i32),
        weight({c.tokens, c.k}, DType::f32),
        d_weight(random_tensor({c.tokens, c.k}, DType::f32, 2)),
        d_probability(random_tensor({c.experts}, DType::f32, 3)) {
    for (int64_t i = 0; i < logits.size(); i += 3) logits.set(i, std::round(static_cast<float>(logits.at(i))));
    router_top_k(CpuStream(), logits, rule, {}, expert, weight);
  }
  reference::RouterLoss loss(int64_t token, bool balanced) const {
    const int64_t k = expert.view().row_elements();
    reference::RouterLoss loss{rule, {}, {}, std::vector<double>(static_cast<size_t>(d_probability.size()))};
    for (int64_t j = token * k; j < (token + 1) * k; ++j) {
      loss.expert.push_back(expert.data<int32_t>()[j]);
      loss.d_weight.push_back(d_weight.at(j));
    }
    for (size_t e = 0; balanced && e < loss.d_probability.size(); ++e)
      loss.d_probability[e] = d_probability.at(static_cast<int64_t>(e));
    return loss;
  }
  std::vector<double> logits_of(int64_t token) const {
    const int64_t experts = d_probability.size();
    const auto row = logits.view().span<float>().subspan(static_cast<size_t>(token * experts));
    return {row.begin(), row.begin() + experts};
  }
  Tensor backward(const Stream& stream, bool balanced) const {
    Tensor d_logits = poisoned(logits.view().shape, DType::f32);
    router_top_k_backward(stream, logits, rule, expert, weight, d_weight,
                          balanced ? ConstView(d_probability) : ConstView{}, d_logits);
    return d_logits;
  }
  testing::AssertionResult agrees(bool balanced) const {
    std::vector<reference::Bounded> want;
    for (int64_t t = 0; t < logits.view().rows(); ++t) {
      const auto row = reference::router_backward(loss(t, balanced), logits_of(t));
      want.insert(want.end(), row.begin(), row.end());
    }
    return close(backward(CpuStream(), balanced), want);
  }
};

class RouterBackwardTest : public testing::TestWithParam<std::tuple<RouterBackwardCase, RouterScores, bool>> {
 protected:
  const RouterBackwardCase c_ = std::get<0>(GetParam());
  const RouterRule rule_{std::get<1>(GetParam()), std::get<2>(GetParam())},
      scaled_{rule_.scores, rule_.renormalise, 2.5f};
};

TEST_P(RouterBackwardTest, OfTheWeightsAloneAgreesWithDoublePrecision) {
  EXPECT_TRUE(RouterBackwardBatch(c_, rule_).agrees(false));
  EXPECT_TRUE(RouterBackwardBatch(c_, scaled_).agrees(false));
}

TEST_P(RouterBackwardTest, OfTheBalancingTermAloneAgreesWithDoublePrecision) {
  const RouterBackwardBatch batch(c_, scaled_);
  for (int64_t i = 0; i < batch.d_weight.size(); ++i) batch.d_weight.set(i, 0);
  EXPECT_TRUE(batch.agrees(true));
}

TEST_P(RouterBackwardTest, OfBothAgreesWithDoublePrecision) {
  EXPECT_TRUE(RouterBackwardBatch(c_, scaled_).agrees(true));
}

TEST_P(RouterBackwardTest, TheOraclesGradientIsItsLosssSlope) {
  if (c_.tokens == 0) GTEST_SKIP() << "no token";
  const RouterBackwardBatch batch(c_, scaled_);
  const reference::RouterLoss loss = batch.loss(0, true);
  std::vector<double> logits = batch.logits_of(0);
  const auto got = reference::router_backward(loss, logits);
  for (size_t e = 0; e < logits.size(); ++e)
    EXPECT_NEAR(got[e].value, reference::central_difference([&] { return loss(logits); }, logits[e]), 1e-8) << e;
}

TEST_P(RouterBackwardTest, ATokensBitsDependOnItAlone) {
  const RouterBackwardBatch batch(c_, scaled_);
  const Tensor together = batch.backward(CpuStream(1), true);
  EXPECT_TRUE(same_bits(batch.backward(CpuStream(3), true), together));
  for (int64_t t = 0; t < c_.tokens; ++t) {
    const auto part = [&](View view) { return view.slice(t, 1); };
    Tensor alone = poisoned({1, c_.experts}, DType::f32);
    router_top_k_backward(CpuStream(1), part(batch.logits), batch.rule, part(batch.expert), part(batch.weight),
                          part(batch.d_weight), batch.d_probability, alone);
    ASSERT_TRUE(same_row_bits(alone, 0, together, t));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RouterBackwardTest,
                         testing::Combine(testing::Values(RouterBackwardCase{100, 128, 4},
                                                          RouterBackwardCase{70, 128, 8}, RouterBackwardCase{3, 5, 5},
                                                          RouterBackwardCase{7, 9, 1}, RouterBackwardCase{1, 1, 1},
                                                          RouterBackwardCase{0, 8, 2}, RouterBackwardCase{5, 70, 40},
                                                          RouterBackwardCase{6, 129, 8}),
                                          testing::Values(RouterScores::softmax, RouterScores::sigmoid),
                                          testing::Bool()));

// Four equal logits of sixteen: weights of a quarter each, which share what they gain among themselves.
TEST(RouterBackward, EqualLogitsOfTheChosen) {
  RouterBackwardBatch batch({1, 16, 4}, {.renormalise = true});
  for (int64_t e = 0; e < 16; ++e) batch.logits.set(e, e % 4 == 1 ? 3 : -1);
  router_top_k(CpuStream(), batch.logits, batch.rule, {}, batch.expert, batch.weight);
  for (int64_t j = 0; j < 4; ++j) batch.d_weight.set(j, static_cast<float>(j));
  const Tensor got = batch.backward(CpuStream(), false);
  const double chosen[] = {-0.375, -0.125, 0.125, 0.375};
  for (int64_t e = 0; e < 16; ++e) EXPECT_EQ(got.at(e), e % 4 == 1 ? chosen[e / 4] : 0) << e;
}

TEST(RouterBackward, ALogitThatIsNaNShows) {
  for (const RouterScores scores : {RouterScores::softmax, RouterScores::sigmoid})
    for (const bool renormalise : {false, true}) {
      RouterBackwardBatch batch({2, 20, 3}, {scores, renormalise});
      batch.logits.set(7, NAN);
      const Tensor got = batch.backward(CpuStream(), true);
      EXPECT_TRUE(std::isnan(got.at(0)) && std::isnan(got.at(7)) && std::isnan(got.at(19)));
      EXPECT_TRUE(std::isfinite(got.at(20)) && std::isfinite(got.at(27)));
    }
}

TEST(RouterBackward, WhatDoesNotFitIsRefused) {
  const auto refused = [](std::initializer_list<std::string_view> parts, const auto& change) {
    RouterBackwardBatch batch({2, 8, 2}, {});
    change(batch);
    return fails(ExitCode::internal, parts, [&] { batch.backward(CpuStream(), true); });
  };
  EXPECT_FALSE(refused({}, [](RouterBackwardBatch&) {}));
  EXPECT_TRUE(refused({"scale 0"}, [](RouterBackwardBatch& b) { b.rule.scale = 0; }));
  EXPECT_TRUE(refused({"token 1 has expert 8 of 8"}, [](RouterBackwardBatch& b) { b.expert.data<int32_t>()[3] = 8; }));
  EXPECT_TRUE(
      refused({"d_probability [7]"}, [](RouterBackwardBatch& b) { b.d_probability = Tensor({7}, DType::f32); }));
  EXPECT_TRUE(refused({"d_weight [1, 2]"}, [](RouterBackwardBatch& b) { b.d_weight = Tensor({1, 2}, DType::f32); }));
}

}  // namespace
}  // namespace switchyard
