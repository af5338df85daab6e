#include "kernels/optimizer/compensated_sum.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

// 20,000 terms of many magnitudes: as good as in f64, where a plain sum has lost three digits.
TEST(CompensatedSum, LosesNextToNothing) {
  constexpr int64_t kElements = 19;
  const Tensor sum({kElements}, DType::f32), rest({kElements}, DType::f32), x({kElements}, DType::f32);
  const CpuStream stream;
  std::vector<double> exact(kElements);
  std::vector<float> plain(kElements);
  for (uint64_t term = 0; term < 20'000; ++term) {
    for (int64_t i = 0; i < kElements; ++i) {
      const float value = std::exp2(-20 * random_uniform(static_cast<uint64_t>(i), term));
      x.data<float>()[i] = value;
      exact[static_cast<size_t>(i)] += static_cast<double>(value);
      plain[static_cast<size_t>(i)] += value;
    }
    compensated_sum(stream, x, sum, rest);
  }
  for (int64_t i = 0; i < kElements; ++i) {
    const double got = static_cast<double>(sum.data<float>()[i]) + static_cast<double>(rest.data<float>()[i]);
    const double want = exact[static_cast<size_t>(i)];
    EXPECT_NEAR(got / want, 1, 1e-10);
    EXPECT_LT(std::abs(got / want - 1), std::abs(static_cast<double>(plain[static_cast<size_t>(i)]) / want - 1));
  }
}

TEST(CompensatedSum, BitsDependNeitherOnThreadsNorOnTheCut) {
  constexpr int64_t kElements = 40'001;
  const Tensor x = random_tensor({kElements}, DType::f32, 1);
  const auto run = [&](int threads, int64_t cut) {
    std::pair sums{random_tensor({kElements}, DType::f32, 2), random_tensor({kElements}, DType::f32, 3)};
    for (int64_t first = 0; first < kElements; first += cut) {
      const int64_t count = std::min(cut, kElements - first);
      compensated_sum(CpuStream(threads), x.view().slice(first, count), sums.first.view().slice(first, count),
                      sums.second.view().slice(first, count));
    }
    return sums;
  };
  const auto one = run(1, kElements);
  for (const int64_t cut : {kElements, int64_t{4099}}) {
    const auto other = run(3, cut);
    EXPECT_TRUE(same_bits(other.first, one.first) && same_bits(other.second, one.second)) << cut;
  }
}

TEST(CompensatedSum, ArgumentsMustGoTogether) {
  const Tensor four({4}, DType::f32), five({5}, DType::f32);
  EXPECT_TRUE(fails(ExitCode::internal, {"compensated_sum", "rest [5]"},
                    [&] { compensated_sum(CpuStream(), four, four, five); }));
}

}  // namespace
}  // namespace switchyard
