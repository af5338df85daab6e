#include "kernels/cpu/exponentials.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

constexpr float kShift = 3;

/// Scores as attention has them: some far below, some masked.
Tensor scores(int64_t count) {
  Tensor x = random_tensor({count}, DType::f32, 7, 20);
  for (int64_t i = 0; i < count; ++i)
    if (i % 5 == 4) x.set(i, i % 2 == 0 ? -INFINITY : -90);
  return x;
}

TEST(Exponentials, AgreeWithDoublePrecision) {
  for (const int64_t count : {8, 16, 24, 128}) {
    const Tensor x = scores(count), y = scores(count);
    const F32x8 sum = exponentials_avx2(y.data<float>(), count, kShift);
    double want[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      const double e = std::exp(x.at(i) - kShift);
      EXPECT_NEAR(y.at(i), e, 1e-6 * e + 1e-37) << i;
      want[i % kLanes] += e;
    }
    for (int lane = 0; lane < kLanes; ++lane) EXPECT_NEAR(sum[lane], want[lane], 1e-5 * want[lane]) << lane;
  }
}

TEST(Exponentials, TheWidthOfARegisterDoesNotMatterToTheBits) {
  if (!has_avx512()) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const int64_t count : {8, 16, 24, 32, 120, 128}) {
    const Tensor a = scores(count), b = scores(count);
    const F32x8 sum_a = exponentials_avx2(a.data<float>(), count, kShift),
                sum_b = exponentials_avx512(b.data<float>(), count, kShift);
    EXPECT_TRUE(same_bits(a, b)) << count;
    EXPECT_EQ(std::memcmp(&sum_a, &sum_b, sizeof sum_a), 0) << count;
  }
}

}  // namespace
}  // namespace switchyard
