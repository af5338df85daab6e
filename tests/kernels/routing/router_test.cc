#include "kernels/routing/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "reference/softmax.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct Routed {
  Tensor expert, weight;
};

Routed route(const TestStream& stream, ConstView logits, int64_t k, bool renormalise, int64_t displacement = 0) {
  const int64_t tokens = logits.rows();
  Routed r{Tensor({tokens, k}, DType::i32), Tensor({tokens, k}, DType::f32)};
  stream.run_displaced(displacement, router_top_k, logits, renormalise, r.expert, r.weight);
  return r;
}

struct Case {
  int64_t tokens, experts, k;
  bool renormalise;
};

class RouterTest : public testing::TestWithParam<std::tuple<Device, Case>> {};

TEST_P(RouterTest, AgreesWithSortingAndDoublePrecision) {
  const auto [device, c] = GetParam();
  const auto [tokens, experts, k, renormalise] = c;
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  Tensor logits = random_tensor({tokens, experts}, DType::f32, 1, 6);
  for (int64_t i = 0; i < logits.size(); i += 3) logits.set(i, std::round(static_cast<float>(logits.at(i))));  // ties
  const Routed got = route(TestStream(device), logits, k, renormalise);
  std::vector<reference::Bounded> want;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> row, chosen;
    for (int64_t e = 0; e < experts; ++e) row.push_back(logits.at(t * experts + e));
    std::vector<int32_t> order(row.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)]; });
    for (int64_t j = 0; j < k; ++j) {
      ASSERT_EQ(got.expert.data<int32_t>()[t * k + j], order[static_cast<size_t>(j)]) << "token " << t << " slot " << j;
      chosen.push_back(row[static_cast<size_t>(order[static_cast<size_t>(j)])]);
    }
    const double log_sum = reference::log_sum_exp(renormalise ? chosen : row);
    for (const double logit : chosen) {
      const double p = std::exp(logit - log_sum);
      want.push_back({p, p * static_cast<double>(experts + 32) * reference::kEpsilon});
    }
  }
  EXPECT_TRUE(close(got.weight, want));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RouterTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(Case{100, 128, 4, true}, Case{100, 128, 8, false},
                                                          Case{3, 5, 5, false}, Case{7, 9, 1, true},
                                                          Case{1, 1, 1, false}, Case{0, 8, 2, true},
                                                          Case{5, 70, 40, true}, Case{6, 129, 8, false},
                                                          Case{5, 512, 10, true}, Case{5, 1000, 8, false})));

class RouterOnDeviceTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(RouterOnDeviceTest, ATokensBitsDependOnItAlone) {
  const TestStream stream(GetParam());
  for (const int64_t experts : {128, 300, 520})
    for (const bool renormalise : {false, true}) {
      const Tensor logits = random_tensor({13, experts}, DType::f32, 1, 6);
      const Routed together = route(stream, logits, 8, renormalise);
      for (int64_t t = 0; t < 13; ++t) {
        const Routed one = route(stream, logits.view().slice(t, 1), 8, renormalise, t % 2);
        ASSERT_TRUE(same_row_bits(one.weight, 0, together.weight, t));
        ASSERT_EQ(std::memcmp(one.expert.row(0), together.expert.row(t), one.expert.row_bytes()), 0);
      }
    }
}

TEST_P(RouterOnDeviceTest, NaNRanksWithInfinityAndEqualsByTheirIndex) {
  Tensor logits = random_tensor({40, 96}, DType::f32, 3, 4);
  for (int64_t i = 0; i < logits.size(); i += 5) logits.set(i, i % 3 == 0 ? NAN : i % 2 == 0 ? INFINITY : -INFINITY);
  for (int64_t i = 3; i < logits.size(); i += 7) logits.set(i, i % 2 == 0 ? 0.0f : -0.0f);
  const Routed got = route(TestStream(GetParam()), logits, 12, true);
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
      const Routed got = route(TestStream(GetParam()), logits, 6, renormalise);
      std::set<int32_t> experts(got.expert.data<int32_t>(), got.expert.data<int32_t>() + 6);
      EXPECT_EQ(experts.size(), 6u);
      EXPECT_GE(*experts.begin(), 0);
      EXPECT_LT(*experts.rbegin(), 12);
      EXPECT_TRUE(std::isnan(got.weight.at(0)));
    }
  }
}

TEST_P(RouterOnDeviceTest, EqualLogitsTakeTheFirstExperts) {
  const Routed got = route(TestStream(GetParam()), Tensor({1, 16}, DType::f32), 4, true);
  for (int j = 0; j < 4; ++j) {
    EXPECT_EQ(got.expert.data<int32_t>()[j], j);
    EXPECT_EQ(got.weight.at(j), 0.25);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RouterOnDeviceTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

}  // namespace
}  // namespace switchyard
