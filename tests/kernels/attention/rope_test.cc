#include "kernels/attention/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct Case {
  int64_t heads, head_dim;
  RotaryPairs pairs = RotaryPairs::halves;
  int64_t first = 0, rotated = head_dim;
};

constexpr double kFactor = 1.25;

/// No two alike, in no order.
std::vector<double> frequencies_of(int64_t pairs) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < pairs; ++i) frequencies.push_back(1 / static_cast<double>(1 + 7 * i % 11 + i));
  return frequencies;
}

class RopeTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { fill_rope_table(CpuStream(), frequencies_, kFactor, table_); }
  Tensor before() const { return random_tensor({5, case_.heads, case_.head_dim}, DType::f32, 1); }

  /// The pairs of before() turned by their angles, times `sign`.
  std::vector<reference::Bounded> turned(double sign) const {
    const Tensor original = before();
    std::vector<reference::Bounded> want;
    for (int64_t i = 0; i < original.size(); ++i) want.push_back({original.at(i), 0});  // what stays, exactly
    const int64_t pairs = case_.rotated / 2;
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t h = 0; h < case_.heads; ++h)
        for (int64_t i = 0; i < pairs; ++i) {
          const double angle = sign * positions_[static_cast<size_t>(t)] * frequencies_[static_cast<size_t>(i)];
          const double cosine = kFactor * std::cos(angle), sine = kFactor * std::sin(angle);
          const int64_t begin = (t * case_.heads + h) * case_.head_dim + case_.first;
          const bool halves = case_.pairs == RotaryPairs::halves;
          const int64_t a = begin + (halves ? i : 2 * i), b = begin + (halves ? i + pairs : 2 * i + 1);
          const double va = original.at(a), vb = original.at(b);
          const double bound = 4 * kFactor * reference::kEpsilon * (std::abs(va) + std::abs(vb));
          want[static_cast<size_t>(a)] = {va * cosine - vb * sine, bound};
          want[static_cast<size_t>(b)] = {vb * cosine + va * sine, bound};
        }
    return want;
  }

  const Case case_ = GetParam();
  const std::vector<int32_t> positions_{0, 1, 7, 4095, 2};
  const std::vector<double> frequencies_ = frequencies_of(case_.rotated / 2);
  const Tensor table_{{4096, case_.rotated}, DType::f32};
};

TEST_P(RopeTest, TurnsEachPairByItsAngle) {
  Tensor x = before();
  rope(CpuStream(), i32_tensor(positions_), table_, case_.pairs, case_.first, x);
  EXPECT_TRUE(close(x, turned(1)));
}

// Adjacent pairs are halves in another order: the same bits in other places.
TEST_P(RopeTest, TurnsPairsAlikeWhereverTheyLie) {
  const int64_t pairs = case_.rotated / 2, heads = 5 * case_.heads;
  const Tensor x = before();
  Tensor halves({5, case_.heads, case_.rotated}, DType::f32), adjacent({5, case_.heads, case_.rotated}, DType::f32);
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < case_.rotated; ++i) {
      const auto value = static_cast<float>(x.at(h * case_.head_dim + i));
      halves.set(h * case_.rotated + i, value);
      adjacent.set(h * case_.rotated + (i < pairs ? 2 * i : 2 * (i - pairs) + 1), value);
    }
  const CpuStream stream;
  rope(stream, i32_tensor(positions_), table_, RotaryPairs::halves, 0, halves);
  rope(stream, i32_tensor(positions_), table_, RotaryPairs::adjacent, 0, adjacent);
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < pairs; ++i) {
      const int64_t head = h * case_.rotated;
      ASSERT_EQ(halves.at(head + i), adjacent.at(head + 2 * i));
      ASSERT_EQ(halves.at(head + pairs + i), adjacent.at(head + 2 * i + 1));
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeTest,
                         testing::Values(Case{3, 2}, Case{3, 12}, Case{1, 16}, Case{4, 64}, Case{9, 80},
                                         Case{3, 2, RotaryPairs::adjacent}, Case{5, 12, RotaryPairs::adjacent},
                                         Case{1, 80, RotaryPairs::adjacent}, Case{4, 128, RotaryPairs::halves, 0, 64},
                                         Case{6, 192, RotaryPairs::adjacent, 128, 64},
                                         Case{1, 24, RotaryPairs::adjacent, 4, 10},
                                         Case{3, 23, RotaryPairs::halves, 5, 18},
                                         Case{2, 16, RotaryPairs::halves, 3, 8}));

class RopeBackwardTest : public RopeTest {};

TEST_P(RopeBackwardTest, TurnsEachPairBack) {
  Tensor dx = before();
  rope_backward(CpuStream(), i32_tensor(positions_), table_, case_.pairs, case_.first, dx);
  EXPECT_TRUE(close(dx, turned(-1)));
}

// The gradient of ⟨rope(x), y⟩ in the direction of x: rope is linear.
TEST_P(RopeBackwardTest, IsTheTransposeOfRope) {
  const CpuStream stream;
  const Tensor x = before(), y = random_tensor({5, case_.heads, case_.head_dim}, DType::f32, 2);
  Tensor rope_x = before(), dx = random_tensor({5, case_.heads, case_.head_dim}, DType::f32, 2);
  rope(stream, i32_tensor(positions_), table_, case_.pairs, case_.first, rope_x);
  rope_backward(stream, i32_tensor(positions_), table_, case_.pairs, case_.first, dx);
  double there = 0, back = 0, magnitude = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    there += rope_x.at(i) * y.at(i);
    back += x.at(i) * dx.at(i);
    magnitude += 4 * std::abs(y.at(i)) + 4 * std::abs(x.at(i));
  }
  EXPECT_NEAR(there, back, 4 * reference::kEpsilon * magnitude);
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeBackwardTest,
                         testing::Values(Case{3, 2}, Case{9, 80}, Case{5, 12, RotaryPairs::adjacent},
                                         Case{4, 128, RotaryPairs::halves, 0, 64},
                                         Case{1, 24, RotaryPairs::adjacent, 4, 10},
                                         Case{3, 23, RotaryPairs::halves, 5, 18}));

TEST(RopeTable, HasAnglesInDoublePrecision) {
  Tensor table({100000, 4}, DType::f32);
  fill_rope_table(CpuStream(), std::vector<double>{1, 0.3}, 0.5, table);
  for (const int64_t p : {0, 1, 99999}) {
    EXPECT_EQ(table.at(4 * p), static_cast<float>(0.5 * std::cos(static_cast<double>(p))));
    EXPECT_EQ(table.at(4 * p + 1), static_cast<float>(0.5 * std::cos(static_cast<double>(p) * 0.3)));
    EXPECT_EQ(table.at(4 * p + 3), static_cast<float>(0.5 * std::sin(static_cast<double>(p) * 0.3)));
  }
  EXPECT_THROW(fill_rope_table(CpuStream(), std::vector<double>{1}, 1, table), Error);
}

TEST(Rope, WhatDoesNotFitIsRefused) {
  Tensor table({8, 4}, DType::f32), x({1, 1, 6}, DType::f32);
  CpuStream stream;
  const auto run = [&](int32_t position, int64_t first) {
    rope(stream, i32_tensor({position}), table, RotaryPairs::halves, first, x);
  };
  EXPECT_NO_THROW(run(7, 2));
  EXPECT_THROW(run(8, 0), Error);
  EXPECT_THROW(run(-1, 0), Error);
  EXPECT_THROW(run(0, 3), Error);
  EXPECT_THROW(run(0, -1), Error);
  EXPECT_THROW(rope_backward(stream, i32_tensor({8}), table, RotaryPairs::halves, 0, x), Error);
}

}  // namespace
}  // namespace switchyard
