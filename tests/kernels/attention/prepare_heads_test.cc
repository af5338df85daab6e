// Steps in one pass are the steps one after the other, bit for bit, on every device.
#include "kernels/attention/prepare_heads.h"

#include <gtest/gtest.h>

#include "kernels/rows/cast.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/rows/scale_rows.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kTokens = 37;
constexpr float kEps = 1e-5f;

struct HeadsCase {
  int64_t heads, head_dim;
  QkNorm norm = QkNorm::before_rotary;
  RotaryPairs pairs = RotaryPairs::halves;
  int64_t first = 0, rotated = head_dim;
  bool has_weight = true, has_factors = false;
  float factor = 1;
};

std::ostream& operator<<(std::ostream& os, const HeadsCase& c) {
  os << c.heads << "x" << c.head_dim << (c.pairs == RotaryPairs::halves ? "_halves_" : "_adjacent_") << c.first << "_"
     << c.rotated;
  if (c.norm != QkNorm::none) os << (c.norm == QkNorm::before_rotary ? "_normed" : "_normed_after");
  if (c.norm != QkNorm::none && !c.has_weight) os << "_by_ones";
  if (c.has_factors) os << "_factors";
  if (c.factor != 1) os << "_factor";
  return os;
}

class PrepareHeadsTest : public testing::TestWithParam<std::tuple<Device, HeadsCase>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
    std::vector<double> frequencies;
    for (int64_t i = 0; i < c_.rotated / 2; ++i) frequencies.push_back(1 / static_cast<double>(1 + 7 * i % 11 + i));
    if (c_.rotated > 0) fill_rope_table(CpuStream(), frequencies, 1.25, table_);
  }

  Tensor product() const { return random_tensor({kTokens, c_.heads, c_.head_dim}, DType::f32, 1, 3); }
  HeadSteps steps() const {
    HeadSteps steps{.norm = c_.norm, .eps = kEps, .pairs = c_.pairs, .first = c_.first, .factor = c_.factor};
    if (c_.has_weight) steps.norm_weight = weight_;
    if (c_.rotated > 0) steps.cos_sin = table_;
    if (c_.has_factors) steps.factors = factors_;
    return steps;
  }

  Tensor one_after_the_other(DType dtype) const {
    const TestStream stream(device_);
    Tensor x = product();
    const View heads = x.view().reshaped({kTokens * c_.heads, c_.head_dim});
    const auto norm = [&] {
      stream.run(rms_norm, heads, c_.has_weight ? ConstView(weight_) : ConstView{}, kEps, heads);
    };
    if (c_.norm == QkNorm::before_rotary) norm();
    if (c_.rotated > 0) rope(CpuStream(), positions_, table_, c_.pairs, c_.first, x);
    if (c_.norm == QkNorm::after_rotary) norm();
    if (c_.has_factors) {
      const View tokens = x.view().reshaped({kTokens, c_.heads * c_.head_dim});
      stream.run(scale_rows, tokens, positions_, factors_, tokens);
    }
    for (int64_t i = 0; i < x.size(); ++i) x.set(i, static_cast<float>(x.at(i)) * c_.factor);
    Tensor y(x.view().shape, dtype);
    cast(CpuStream(), x, y);
    return y;
  }

  static std::vector<int32_t> some_positions() {
    std::vector<int32_t> positions;
    for (int32_t t = 0; t < kTokens; ++t) positions.push_back(t * 17 % 64);
    return positions;
  }

  const Device device_ = std::get<Device>(GetParam());
  const HeadsCase c_ = std::get<HeadsCase>(GetParam());
  const Tensor positions_ = i32_tensor(some_positions()), table_{{64, c_.rotated}, DType::f32},
               weight_ = random_tensor({c_.head_dim}, DType::f32, 2), factors_ = random_tensor({64}, DType::f32, 3);
};

TEST_P(PrepareHeadsTest, GivesTheBitsOfItsSteps) {
  const TestStream stream(device_);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && device_ == Device::cpu) continue;
    const Tensor want = one_after_the_other(dtype);
    for (const int64_t displacement : {0, 1}) {
      const Tensor y = poisoned(want.view().shape, dtype);
      stream.run_displaced(displacement, prepare_heads, product(), positions_, steps(), y);
      EXPECT_TRUE(same_bits(y, want)) << name_of(dtype) << ", displaced by " << displacement;
    }
  }
}

TEST_P(PrepareHeadsTest, InPlaceGivesTheSameBits) {
  const Tensor x = product();
  TestStream(device_).run(prepare_heads, x, positions_, steps(), x);
  EXPECT_TRUE(same_bits(x, one_after_the_other(DType::f32)));
}

constexpr auto kAdjacent = RotaryPairs::adjacent, kHalves = RotaryPairs::halves;

INSTANTIATE_TEST_SUITE_P(
    Shapes, PrepareHeadsTest,
    testing::Combine(testing::ValuesIn(kDevices),
                     testing::Values(HeadsCase{4, 128}, HeadsCase{1, 64, QkNorm::none}, HeadsCase{3, 2},
                                     HeadsCase{3, 12}, HeadsCase{9, 80},
                                     HeadsCase{2, 256, QkNorm::after_rotary, kHalves, 0, 256, false, false, 0.3f},
                                     HeadsCase{3, 128, QkNorm::after_rotary, kAdjacent, 0, 128, false},
                                     HeadsCase{3, 2, QkNorm::none, kAdjacent},
                                     HeadsCase{5, 12, QkNorm::before_rotary, kAdjacent},
                                     HeadsCase{4, 128, QkNorm::before_rotary, kHalves, 0, 64},
                                     HeadsCase{6, 192, QkNorm::none, kAdjacent, 128, 64, true, false, 0.25f},
                                     HeadsCase{1, 24, QkNorm::before_rotary, kAdjacent, 4, 10},
                                     HeadsCase{3, 23, QkNorm::none, kHalves, 5, 18},
                                     HeadsCase{2, 16, QkNorm::before_rotary, kHalves, 3, 8},
                                     HeadsCase{40, 16, QkNorm::none, kHalves, 8, 8},
                                     HeadsCase{5, 64, QkNorm::none, kHalves, 0, 0, false, true, 0.7f},
                                     HeadsCase{3, 10, QkNorm::before_rotary, kHalves, 0, 10, true, true, 0.7f},
                                     HeadsCase{2, 32, QkNorm::none, kHalves, 0, 0})),
    name_of_parameters<HeadsCase>);

TEST(PrepareHeads, WhatDoesNotFitIsRefused) {
  const CpuStream stream;
  const Tensor x({1, 1, 6}, DType::f32), table({8, 4}, DType::f32), factors({4}, DType::f32);
  const auto run = [&](int32_t position, const HeadSteps& steps) {
    prepare_heads(stream, x, i32_tensor({position}), steps, x);
  };
  EXPECT_NO_THROW(run(7, {.cos_sin = table, .first = 2}));
  EXPECT_THROW(run(8, {.cos_sin = table, .first = 2}), Error);
  EXPECT_THROW(run(-1, {.cos_sin = table}), Error);
  EXPECT_THROW(run(0, {.cos_sin = table, .first = 3}), Error);
  EXPECT_NO_THROW(run(3, {.factors = factors}));
  EXPECT_THROW(run(4, {.factors = factors}), Error);
  EXPECT_THROW(run(0, {.norm = QkNorm::before_rotary, .norm_weight = factors}), Error);
  EXPECT_THROW(prepare_heads(stream, x, i32_tensor({0}), {}, Tensor({1, 1, 6}, DType::bf16)), Error);
}

}  // namespace
}  // namespace switchyard
