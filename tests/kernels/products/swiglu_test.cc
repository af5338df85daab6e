#include "kernels/products/cpu/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/swiglu.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kRowGap = 3;  // between rows of y
constexpr int64_t kFeatures[] = {1, 7, 8, 15, 16, 17, 19, 32, 100};
const GatedActivation kPlain{}, kClamped{.clamped = true, .alpha = 1.702, .limit = 7},
    kTight{.clamped = true, .alpha = 0.5, .limit = 0.01};
const GatedActivation kAllActivations[] = {kPlain, kClamped, kTight};

template <class T>
using SwigluRows = decltype(&swiglu_rows_avx2<T>);

/// y [rows, f + kRowGap], of which the last columns keep the ones they had. `h` stays as it is.
template <class T>
Tensor activated(SwigluRows<T> swiglu, const GatedActivation& activation, const Tensor& h, DType dtype) {
  const int64_t rows = h.view().rows(), f = h.view().row_elements() / 2;
  Tensor gate_up(h.view().shape, DType::f32), y({rows, f + kRowGap}, dtype);
  for (int64_t i = 0; i < h.size(); ++i) gate_up.set(i, static_cast<float>(h.at(i)));
  for (int64_t i = 0; i < y.size(); ++i) y.set(i, 1);
  swiglu(activation, gate_up.data<float>(), rows, f, y.data<T>(), f + kRowGap);
  return y;
}

Tensor special_values(int64_t f) {
  Tensor h = random_tensor({3, 2 * f}, DType::f32, 1, 12);
  const float gates[] = {1e30f, -1e4f, NAN, INFINITY, -INFINITY, -0.0f, 88.4f, -87.4f};
  for (int64_t i = 0; i < f; ++i) h.set(2 * f + i, gates[i % 8]), h.set(3 * f + i, 1);  // row 1
  return h;
}

TEST(Swiglu, AgreesWithDoublePrecision) {
  for (const GatedActivation& activation : kAllActivations)
    for (const int64_t f : kFeatures) {
      const Tensor h = random_tensor({5, 2 * f}, DType::f32, 1, 12);
      std::vector<reference::Bounded> want;
      for (int64_t r = 0; r < 5; ++r)
        for (int64_t i = 0; i < f + kRowGap; ++i)
          want.push_back(i < f
                             ? reference::activated(activation, {h.at(r * 2 * f + i), 0}, {h.at(r * 2 * f + f + i), 0})
                             : reference::Bounded{1, 0});
      EXPECT_TRUE(close(activated<float>(swiglu_rows_avx2, activation, h, DType::f32), want)) << f;
      EXPECT_TRUE(close(activated<BFloat16>(swiglu_rows_avx2, activation, h, DType::bf16), want)) << f;
    }
}

// Gate is held from above alone, up from both sides.
TEST(Swiglu, TheClampedOneIsHeldAtItsLimits) {
  const double sigma = 1 / (1 + std::exp(-1.702 * 7)), low = 1 / (1 + std::exp(1.702 * 7.5));
  const struct {
    float gate, up;
    double want;
  } cases[] = {{100, 100, 8 * 7 * sigma},
               {7.5f, -100, -6 * 7 * sigma},
               {-7.5f, 7.5f, 8 * -7.5 * low},
               {7, -1, 0},
               {INFINITY, 2, 3 * 7 * sigma},
               {1e30f, -INFINITY, -6 * 7 * sigma},
               {0, 100, 0},
               {-1e4f, 3, 0}};
  Tensor h({1, 16}, DType::f32);
  for (int64_t i = 0; i < 8; ++i) h.set(i, cases[i].gate), h.set(8 + i, cases[i].up);
  const Tensor y = activated<float>(swiglu_rows_avx2, kClamped, h, DType::f32);
  for (int64_t i = 0; i < 8; ++i) EXPECT_NEAR(y.at(i), cases[i].want, 1e-6 * std::abs(cases[i].want) + 1e-30) << i;
}

TEST(Swiglu, NaNStaysNaNWithinLimits) {
  Tensor h({1, 16}, DType::f32);
  for (int64_t i = 0; i < 8; ++i) h.set(i, i % 2 == 0 ? NAN : 1), h.set(8 + i, i % 2 == 0 ? 1 : NAN);
  const Tensor y = activated<float>(swiglu_rows_avx2, kClamped, h, DType::f32);
  for (int64_t i = 0; i < 8; ++i) EXPECT_TRUE(std::isnan(y.at(i))) << i;
}

TEST(Swiglu, ExtremeGatesNeitherOverflowNorVanish) {
  const Tensor y = activated<float>(swiglu_rows_avx2, kPlain, special_values(8), DType::f32);
  const auto silu = [&](int64_t i) { return y.at(8 + kRowGap + i); };
  EXPECT_NEAR(silu(0) / 1e30, 1, 1e-6);
  EXPECT_NEAR(silu(1), 0, 1e-30);
  EXPECT_TRUE(std::isnan(silu(2)));
  EXPECT_EQ(silu(3), INFINITY);
  EXPECT_EQ(silu(5), 0);
}

TEST(Swiglu, TheWidthOfARegisterDoesNotMatterToTheBits) {
  if (!has_avx512()) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const GatedActivation& activation : kAllActivations)
    for (const int64_t f : kFeatures) {
      const Tensor h = special_values(f);
      EXPECT_TRUE(same_bits(activated<float>(swiglu_rows_avx512, activation, h, DType::f32),
                            activated<float>(swiglu_rows_avx2, activation, h, DType::f32)))
          << f;
      EXPECT_TRUE(same_bits(activated<BFloat16>(swiglu_rows_avx512, activation, h, DType::bf16),
                            activated<BFloat16>(swiglu_rows_avx2, activation, h, DType::bf16)))
          << f;
    }
}

}  // namespace
}  // namespace switchyard
