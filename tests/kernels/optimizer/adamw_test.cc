#include "kernels/optimizer/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "reference/bounded.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;
using reference::Bounded;
using reference::kEpsilon;

struct State {
  Tensor weight, first, second;
};

/// As it might be after some steps.
State made_up(int64_t elements, uint64_t seed) {
  State s{random_tensor({elements}, DType::f32, seed), random_tensor({elements}, DType::f32, seed + 1, 0.1f),
          random_tensor({elements}, DType::f32, seed + 2, 0.1f)};
  for (int64_t i = 0; i < elements; ++i) s.second.set(i, static_cast<float>(std::pow(s.second.at(i), 2)));
  return s;
}

int64_t run(const Stream& stream, ConstView gradient, const AdamwStep& step, const State& s, int64_t broken = 0) {
  adamw(stream, gradient, step, s.weight, s.first, s.second, {&broken, {1}, DType::i64, Device::cpu});
  return broken;
}

const AdamwStep kStep{.learning_rate = 3e-3f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .epsilon = 1e-6f,
                      .weight_decay = 0.1f,
                      .gradient_scale = 0.37f,
                      .first_correction = 0.271f,
                      .second_correction = 0.378f};

const int64_t kSizes[] = {0, 1, 7, 8, 9, 100, 40'003};

TEST(Adamw, AgreesWithDoublePrecision) {
  for (const int64_t elements : kSizes) {
    const State before = made_up(elements, 1), after = made_up(elements, 1);
    const Tensor gradient = random_tensor({elements}, DType::f32, 4);
    EXPECT_EQ(run(CpuStream(), gradient, kStep, after, 5), 5);
    std::vector<Bounded> weight, first, second;
    for (int64_t i = 0; i < elements; ++i) {
      const double g = gradient.at(i) * static_cast<double>(kStep.gradient_scale), beta1 = kStep.beta1,
                   beta2 = kStep.beta2, rate = kStep.learning_rate;
      const double m = beta1 * before.first.at(i) + (1 - beta1) * g;
      const double v = beta2 * before.second.at(i) + (1 - beta2) * g * g;
      const double m_bound = 3 * kEpsilon * (beta1 * std::abs(before.first.at(i)) + (1 - beta1) * std::abs(g));
      const double per_m = rate / kStep.first_correction / (std::sqrt(v) / kStep.second_correction + kStep.epsilon);
      const double kept = before.weight.at(i) * (1 - rate * static_cast<double>(kStep.weight_decay));
      first.push_back({m, m_bound});
      second.push_back({v, 5 * kEpsilon * v});
      weight.push_back({kept - per_m * m, 3 * kEpsilon * std::abs(before.weight.at(i)) +
                                              per_m * (m_bound + 10 * kEpsilon * std::abs(m))});
    }
    EXPECT_TRUE(close(after.first, first)) << elements;
    EXPECT_TRUE(close(after.second, second)) << elements;
    EXPECT_TRUE(close(after.weight, weight)) << elements;
  }
}

void expect_same_bits(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(std::memcmp(a.row(0), b.row(0), a.row_bytes() * static_cast<size_t>(a.size())), 0);
}
void expect_same_bits(const State& a, const State& b) {
  expect_same_bits(a.weight, b.weight);
  expect_same_bits(a.first, b.first);
  expect_same_bits(a.second, b.second);
}

TEST(Adamw, NoGradientIsOneOfZeros) {
  const State a = made_up(1001, 7), b = made_up(1001, 7);
  run(CpuStream(), {}, kStep, a);
  run(CpuStream(), Tensor({1001}, DType::f32), kStep, b);
  expect_same_bits(a, b);
  EXPECT_NE(a.weight.at(0), made_up(1001, 7).weight.at(0));
}

TEST(Adamw, AnElementsBitsDependOnItAlone) {
  const int64_t elements = 40'003;
  const Tensor gradient = random_tensor({elements}, DType::f32, 4);
  const State whole = made_up(elements, 1), threads = made_up(elements, 1), parts = made_up(elements, 1);
  run(CpuStream(1), gradient, kStep, whole);
  run(CpuStream(3), gradient, kStep, threads);
  expect_same_bits(threads, whole);
  int64_t broken = 0;
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 3}, {3, 16'390}, {16'393, elements - 16'393}})
    adamw(CpuStream(), gradient.view().slice(first, count), kStep, parts.weight.view().slice(first, count),
          parts.first.view().slice(first, count), parts.second.view().slice(first, count),
          {&broken, {1}, DType::i64, Device::cpu});
  expect_same_bits(parts, whole);
}

TEST(Adamw, BrokenWeightsAreCounted) {
  const State s = made_up(50, 1);
  const Tensor gradient = random_tensor({50}, DType::f32, 4);
  gradient.set(3, NAN);
  s.weight.set(20, INFINITY);
  s.weight.set(49, -INFINITY);
  EXPECT_EQ(run(CpuStream(), gradient, kStep, s, 2), 5);
}

TEST(Adamw, OtherSizesAreRefused) {
  const State s = made_up(50, 1);
  EXPECT_TRUE(
      fails(ExitCode::internal, {"adamw", "49", "50"}, [&] { run(CpuStream(), Tensor({49}, DType::f32), kStep, s); }));
}

}  // namespace
}  // namespace switchyard
