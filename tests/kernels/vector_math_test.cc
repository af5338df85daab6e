#include "kernels/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace switchyard {
namespace {

TEST(VectorMath, ExpIsWithinAFewUnitsInTheLastPlace) {
  double worst = 0;
  float where = 0;
  for (uint64_t i = 0; i < 400'000; ++i) {
    const float x = -87.3f + random_uniform(1, i) * (88.3f + 87.3f);
    const double error = std::abs(exp_f32(x) / std::exp(static_cast<double>(x)) - 1);
    if (error > worst) worst = error, where = x;
  }
  EXPECT_LT(worst, 1.5e-7) << "at " << where;
}

TEST(VectorMath, ExpAtItsEdges) {
  EXPECT_EQ(exp_f32(0), 1);
  EXPECT_EQ(exp_f32(-0.0f), 1);
  EXPECT_EQ(exp_f32(-kInfinity), 0);
  EXPECT_EQ(exp_f32(-88), 0);
  EXPECT_GT(exp_f32(-87.3f), 0);
  EXPECT_TRUE(std::isfinite(exp_f32(kInfinity)));
  EXPECT_GT(exp_f32(kInfinity), 2e38f);
  EXPECT_TRUE(std::isnan(exp_f32(NAN)));
}

TEST(VectorMath, SigmoidIsAsExactForBothSigns) {
  double worst = 0;
  float where = 0;
  for (uint64_t i = 0; i < 400'000; ++i) {
    const float x = 87.3f * (2 * random_uniform(1, i) - 1);
    const double error = std::abs(sigmoid_f32(x) * (1 + std::exp(-static_cast<double>(x))) - 1);
    if (error > worst) worst = error, where = x;
  }
  EXPECT_LT(worst, 2.5e-7) << "at " << where;
}

TEST(VectorMath, SigmoidAtItsEdges) {
  EXPECT_EQ(sigmoid_f32(0), 0.5f);
  EXPECT_EQ(sigmoid_f32(-0.0f), 0.5f);
  EXPECT_EQ(sigmoid_f32(kInfinity), 1);
  EXPECT_EQ(sigmoid_f32(100), 1);
  EXPECT_EQ(sigmoid_f32(-kInfinity), 0);
  EXPECT_EQ(sigmoid_f32(-100), 0);
  EXPECT_TRUE(std::isnan(sigmoid_f32(NAN)));
}

TEST(VectorMath, PartialLanesAreTheFullOnes) {
  const float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t count = 0; count < 8; ++count) {
    const F32x8 v = load_part(values, count, -1);
    float out[8] = {};
    store_part(out, v, count);
    for (int64_t i = 0; i < 8; ++i) {
      EXPECT_EQ(v[i], i < count ? values[i] : -1);
      EXPECT_EQ(out[i], i < count ? values[i] : 0);
    }
  }
}

TEST(VectorMath, TransposesBlocks) {
  float from[8 * 11], to[8 * 9] = {};
  for (int i = 0; i < 88; ++i) from[i] = static_cast<float>(i);
  transpose_8x8(from, 11, to, 9);
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j) EXPECT_EQ(to[j * 9 + i], from[i * 11 + j]) << i << ", " << j;
}

TEST(VectorMath, LanesAreReducedExactly) {
  const F32x8 v = {1, 2, 4, 8, 16, 32, 64, 128};
  EXPECT_EQ(sum_of_lanes(v), 255);
  EXPECT_EQ(max_of_lanes(v), 128);
  EXPECT_EQ(max_of_lanes(-v), -1);
}

}  // namespace
}  // namespace switchyard
