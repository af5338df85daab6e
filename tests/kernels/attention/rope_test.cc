#include "kernels/attention/rope.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct Case {
  int64_t heads, head_dim;
};

class RopeTest : public testing::TestWithParam<std::tuple<Device, Case>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(std::get<Device>(GetParam())); !why.empty()) GTEST_SKIP() << why;
    fill_rope_table(CpuStream(), 10000, table_);
  }
  Tensor before() const { return random_tensor({5, case_.heads, case_.head_dim}, DType::f32, 1); }

  const Case case_ = std::get<Case>(GetParam());
  const std::vector<int32_t> positions_{0, 1, 7, 4095, 2};
  const Tensor table_{{4096, case_.head_dim}, DType::f32};
};

TEST_P(RopeTest, TurnsEachPairByItsAngle) {
  const auto [heads, head_dim] = case_;
  const int64_t half = head_dim / 2;
  const Tensor original = before();
  Tensor x = before();
  TestStream(std::get<Device>(GetParam())).run(rope, i32_tensor(positions_), table_, x);

  std::vector<reference::Bounded> want(static_cast<size_t>(x.size()));
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const double angle = positions_[static_cast<size_t>(t)] *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        const int64_t a = (t * heads + h) * head_dim + i, b = a + half;
        const double va = original.at(a), vb = original.at(b);
        const double bound = 4 * reference::kEpsilon * (std::abs(va) + std::abs(vb));
        want[static_cast<size_t>(a)] = {va * std::cos(angle) - vb * std::sin(angle), bound};
        want[static_cast<size_t>(b)] = {vb * std::cos(angle) + va * std::sin(angle), bound};
      }
  EXPECT_TRUE(close(x, want));
}

// The arithmetic is two roundings that are written out: one result, on every device and at any address.
TEST_P(RopeTest, GivesTheCpusBits) {
  Tensor want = before();
  CpuStream cpu;
  rope(cpu, i32_tensor(positions_), table_, want);
  TestStream stream(std::get<Device>(GetParam()));
  for (const int64_t displacement : {0, 1}) {
    Tensor x = before();
    stream.run_displaced(displacement, rope, i32_tensor(positions_), table_, x);
    EXPECT_TRUE(same_bits(x, want));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(Case{3, 2}, Case{3, 12}, Case{1, 16}, Case{4, 64},
                                                          Case{9, 80})));

TEST(Rope, PositionsBeyondTheTableAreRefused) {
  Tensor table({8, 4}, DType::f32), x({1, 1, 4}, DType::f32);
  CpuStream stream;
  EXPECT_THROW(rope(stream, i32_tensor({8}), table, x), Error);
  EXPECT_THROW(rope(stream, i32_tensor({-1}), table, x), Error);
}

}  // namespace
}  // namespace switchyard
