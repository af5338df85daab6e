#include "kernels/optimizer/pull_to_anchor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kElements = 1'003, kChunk = 100;

struct Pulled {
  Tensor gradient = random_tensor({kElements}, DType::f32, 4), sums{{(kElements + kChunk - 1) / kChunk}, DType::f64};
};
Pulled pull(int threads, bool add) {
  const Tensor w = random_tensor({kElements}, DType::f32, 1), a = random_tensor({kElements}, DType::f32, 2);
  Tensor f = random_tensor({kElements}, DType::f32, 3);
  for (float& x : f.view().span<float>()) x = std::abs(x);
  Pulled result;
  pull_to_anchor(CpuStream(threads), w, a, f, 3.0f, add, kChunk, result.gradient, result.sums);
  return result;
}

TEST(PullToAnchor, IsThePenaltysSlope) {
  const Tensor w = random_tensor({kElements}, DType::f32, 1), a = random_tensor({kElements}, DType::f32, 2),
               f = random_tensor({kElements}, DType::f32, 3), before = random_tensor({kElements}, DType::f32, 4);
  for (const bool add : {false, true}) {
    const Pulled got = pull(2, add);
    std::vector<double> sums(static_cast<size_t>(got.sums.size()));
    for (int64_t i = 0; i < kElements; ++i) {
      const double away = w.at(i) - a.at(i), importance = std::abs(f.at(i));
      sums[static_cast<size_t>(i / kChunk)] += importance * away * away;
      EXPECT_NEAR(got.gradient.at(i), 3 * importance * away + (add ? before.at(i) : 0), 2e-6) << i;
    }
    for (size_t c = 0; c < sums.size(); ++c) EXPECT_NEAR(got.sums.data<double>()[c] / sums[c], 1, 1e-6);
  }
}

TEST(PullToAnchor, BitsDependOnNoThreads) {
  const Pulled one = pull(1, true), many = pull(5, true);
  EXPECT_TRUE(same_bits(many.gradient, one.gradient) && same_bits(many.sums, one.sums));
}

TEST(PullToAnchor, ArgumentsMustGoTogether) {
  const Tensor four({4}, DType::f32), five({5}, DType::f32), sum({1}, DType::f64);
  EXPECT_TRUE(fails(ExitCode::internal, {"pull_to_anchor", "importance [5]"},
                    [&] { pull_to_anchor(CpuStream(), four, four, five, 1, false, 4, four, sum); }));
}

}  // namespace
}  // namespace switchyard
