#include "kernels/products/cpu/swiglu_backward.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/swiglu.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kRows = 5, kGap = 3;  // columns to the right of those at hand
constexpr GatedActivation kActivations[] = {{}, {true, 1.702, 7}, {true, 1.3, 0.5}};
constexpr int64_t kSizes[] = {1, 7, 8, 15, 16, 17, 19, 24, 32, 100};

/// [kRows, columns + kGap] of results, [kRows, 2 (columns + kGap)] of d_gate_up; what is not written stays 1.
struct Results {
  Tensor scaled_h, d_gate_up, dot;
};

Tensor ones(const Shape& shape, DType dtype) {
  Tensor t(shape, dtype);
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, 1);
  return t;
}

/// weight: null: ones
template <class T>
Results differentiated(void (*backward)(const SwigluBackward<T>&), const GatedActivation& activation,
                       const Tensor& gate_up, const Tensor& a, const Tensor* weight, DType dtype) {
  const int64_t columns = gate_up.view().row_elements() / 2, f = columns + kGap;
  Results results{ones({kRows, f}, dtype), ones({kRows, 2 * f}, dtype), ones({kRows}, DType::f32)};
  backward({.activation = activation,
            .rows = kRows,
            .columns = columns,
            .f = f,
            .gate_up = gate_up.data<float>(),
            .gate_up_stride = 2 * columns,
            .a = a.data<float>(),
            .a_stride = a.view().row_elements(),
            .weight = weight == nullptr ? nullptr : weight->data<float>(),
            .scaled_h = results.scaled_h.data<T>(),
            .d_gate_up = results.d_gate_up.data<T>(),
            .dot = results.dot.data<float>()});
  return results;
}

struct Inputs {
  Tensor gate_up, a, weight;
  explicit Inputs(int64_t columns)
      : gate_up(random_tensor({kRows, 2 * columns}, DType::f32, 1, 12)),
        a(random_tensor({kRows, columns + 2}, DType::f32, 2)),
        weight(random_tensor({kRows}, DType::f32, 3)) {}
};

void expect_close(const Results& got, const GatedActivation& activation, const Inputs& in, int64_t columns,
                  bool weighted) {
  const reference::Bounded one{1, 0};
  std::vector<reference::Bounded> scaled_h(static_cast<size_t>(got.scaled_h.size()), one),
      d_gate_up(static_cast<size_t>(got.d_gate_up.size()), one), dot(kRows, one);
  const int64_t f = columns + kGap;
  for (int64_t r = 0; r < kRows; ++r) {
    double magnitude = 1;
    for (int64_t i = 0; i < columns; ++i) {
      const reference::Bounded gate{in.gate_up.at(r * 2 * columns + i), 0},
          up{in.gate_up.at(r * 2 * columns + columns + i), 0}, a{in.a.at(r * (columns + 2) + i), 0},
          weight{weighted ? in.weight.at(r) : 1, 0};
      const auto h = reference::activated(activation, gate, up), dh = times(weight, a), term = times(h, a);
      const auto [by_gate, by_up] = reference::activated_derivatives(activation, gate, up);
      scaled_h[static_cast<size_t>(r * f + i)] = times(weight, h);
      d_gate_up[static_cast<size_t>(r * 2 * f + i)] = times(dh, by_gate);
      d_gate_up[static_cast<size_t>(r * 2 * f + f + i)] = times(dh, by_up);
      auto& sum = dot[static_cast<size_t>(r)];
      sum = {sum.value + term.value, sum.bound + term.bound};
      magnitude += std::abs(term.value);
    }
    dot[static_cast<size_t>(r)].bound += static_cast<double>(columns + 1) * reference::kEpsilon * magnitude;
  }
  EXPECT_TRUE(close(got.scaled_h, scaled_h)) << columns;
  EXPECT_TRUE(close(got.d_gate_up, d_gate_up)) << columns;
  EXPECT_TRUE(close(got.dot, dot)) << columns;
}

TEST(SwigluBackward, AgreesWithDoublePrecision) {
  for (const GatedActivation& activation : kActivations)
    for (const int64_t columns : kSizes) {
      const Inputs in(columns);
      expect_close(differentiated<float>(swiglu_backward_avx2, activation, in.gate_up, in.a, &in.weight, DType::f32),
                   activation, in, columns, true);
      expect_close(differentiated<float>(swiglu_backward_avx2, activation, in.gate_up, in.a, nullptr, DType::f32),
                   activation, in, columns, false);
      expect_close(
          differentiated<BFloat16>(swiglu_backward_avx2, activation, in.gate_up, in.a, &in.weight, DType::bf16),
          activation, in, columns, true);
    }
}

TEST(SwigluBackward, ExtremeGatesNeitherOverflowNorVanish) {
  constexpr GatedActivation activation;
  const float gates[] = {1e15f, -1e15f, 100, -100, 88.4f, -87.4f, 0, NAN};
  Tensor gate_up({kRows, 16}, DType::f32);
  for (int64_t i = 0; i < 8; ++i) gate_up.set(i, gates[i]), gate_up.set(8 + i, 2);
  const Results got = differentiated<float>(swiglu_backward_avx2, activation, gate_up, ones({kRows, 8}, DType::f32),
                                            nullptr, DType::f32);
  const double by_gate[] = {2, 0, 2, 0, 2, 0, 1}, by_up[] = {1e15, 0, 100, 0, 88.4, 0, 0};
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_NEAR(got.d_gate_up.at(i), by_gate[i], 1e-6) << i;
    EXPECT_NEAR(got.d_gate_up.at(8 + kGap + i), by_up[i], 1e-6 * by_up[i] + 1e-20) << i;
  }
  EXPECT_TRUE(std::isnan(got.d_gate_up.at(7)) && std::isnan(got.d_gate_up.at(8 + kGap + 7)));
  EXPECT_TRUE(std::isnan(got.scaled_h.at(7)) && std::isnan(got.dot.at(0)));
}

// At a limit they are those within it.
TEST(SwigluBackward, BeyondTheLimitsNothingComesBackButOfNaN) {
  constexpr GatedActivation activation{true, 1.702, 7};
  const float gates[] = {8, 7, -20, 1, 1, 1, NAN, 1}, ups[] = {2, 2, 2, 8, -8, -7, 2, NAN};
  Tensor gate_up({kRows, 16}, DType::f32);
  for (int64_t i = 0; i < 8; ++i) gate_up.set(i, gates[i]), gate_up.set(8 + i, ups[i]);
  const Results got = differentiated<float>(swiglu_backward_avx2, activation, gate_up, ones({kRows, 8}, DType::f32),
                                            nullptr, DType::f32);
  const auto by_gate = [&](int64_t i) { return got.d_gate_up.at(i); };
  const auto by_up = [&](int64_t i) { return got.d_gate_up.at(8 + kGap + i); };
  for (const int64_t i : {0, 1, 2, 5}) EXPECT_EQ(by_gate(i) == 0, i == 0) << i;
  for (const int64_t i : {3, 4, 5}) EXPECT_EQ(by_up(i) == 0, i != 5) << i;
  EXPECT_TRUE(std::isnan(by_gate(6)) && std::isnan(by_up(6)) && std::isnan(by_gate(7)));
}

// But to those of NaN, whose sign is that of one operand or another.
TEST(SwigluBackward, TheWidthOfARegisterDoesNotMatterToTheBits) {
  if (!has_avx512()) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const GatedActivation& activation : kActivations)
    for (const int64_t columns : kSizes) {
      Inputs in(columns);
      const float gates[] = {1e30f, -1e4f, INFINITY, -INFINITY, -0.0f, 88.4f, -87.4f, 1e-30f};
      for (int64_t i = 0; i < columns; ++i) in.gate_up.set(2 * columns + i, gates[i % 8]);  // row 1
      const auto same = [&](const Results& a, const Results& b) {
        EXPECT_TRUE(same_bits(a.scaled_h, b.scaled_h)) << columns;
        EXPECT_TRUE(same_bits(a.d_gate_up, b.d_gate_up)) << columns;
        EXPECT_TRUE(same_bits(a.dot, b.dot)) << columns;
      };
      same(differentiated<float>(swiglu_backward_avx512, activation, in.gate_up, in.a, &in.weight, DType::f32),
           differentiated<float>(swiglu_backward_avx2, activation, in.gate_up, in.a, &in.weight, DType::f32));
      same(differentiated<BFloat16>(swiglu_backward_avx512, activation, in.gate_up, in.a, nullptr, DType::bf16),
           differentiated<BFloat16>(swiglu_backward_avx2, activation, in.gate_up, in.a, nullptr, DType::bf16));
    }
}

}  // namespace
}  // namespace switchyard
