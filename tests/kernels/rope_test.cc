#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

class RopeTest : public testing::TestWithParam<int64_t> {};

TEST_P(RopeTest, TurnsEachPairByItsAngle) {
  const int64_t head_dim = GetParam(), half = head_dim / 2, heads = 3;
  const std::vector<int32_t> positions{0, 1, 7, 4095, 2};
  Tensor table({4096, head_dim}, DType::f32);
  fill_rope_table(10000, table);
  const Tensor before = random_tensor({5, heads, head_dim}, DType::f32, 1);
  Tensor x = random_tensor({5, heads, head_dim}, DType::f32, 1);
  CpuStream stream;
  rope(stream, i32_tensor(positions), table, x);

  std::vector<reference::Bounded> want(static_cast<size_t>(x.size()));
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const double angle = positions[static_cast<size_t>(t)] *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        const int64_t a = (t * heads + h) * head_dim + i, b = a + half;
        const double bound = 4 * reference::kEpsilon * (std::abs(before.at(a)) + std::abs(before.at(b)));
        want[static_cast<size_t>(a)] = {before.at(a) * std::cos(angle) - before.at(b) * std::sin(angle), bound};
        want[static_cast<size_t>(b)] = {before.at(b) * std::cos(angle) + before.at(a) * std::sin(angle), bound};
      }
  EXPECT_TRUE(close(x, want));
}

INSTANTIATE_TEST_SUITE_P(HeadDims, RopeTest, testing::Values(2, 12, 16, 64, 80));

TEST(Rope, PositionsBeyondTheTableAreRefused) {
  Tensor table({8, 4}, DType::f32), x({1, 1, 4}, DType::f32);
  CpuStream stream;
  EXPECT_THROW(rope(stream, i32_tensor({8}), table, x), Error);
  EXPECT_THROW(rope(stream, i32_tensor({-1}), table, x), Error);
}

}  // namespace
}  // namespace switchyard
