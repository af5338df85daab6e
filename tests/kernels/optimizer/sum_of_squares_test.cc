#include "kernels/optimizer/sum_of_squares.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_error.h"
#include "support/tensor.h"

namespace switchyard {
namespace {

using namespace test;

/// Poisoned before.
std::vector<double> sums(const Stream& stream, ConstView x, int64_t chunk) {
  std::vector<double> result(static_cast<size_t>((x.elements() + chunk - 1) / chunk), NAN);
  sum_of_squares(stream, x, chunk, {result.data(), {std::ssize(result)}, DType::f64, Device::cpu});
  return result;
}

struct Case {
  int64_t elements, chunk;
};
const Case kCases[] = {{0, 4}, {1, 64}, {15, 64}, {16, 16}, {17, 16}, {1000, 77}, {70'000, 1 << 16}};

TEST(SumOfSquares, AgreesWithExtendedPrecision) {
  for (const auto& [elements, chunk] : kCases) {
    const Tensor x = random_tensor({elements}, DType::f32, 1);
    const std::vector<double> got = sums(CpuStream(), x, chunk);
    for (size_t c = 0; c < got.size(); ++c) {
      long double want = 0;
      for (int64_t i = static_cast<int64_t>(c) * chunk; i < std::min(elements, static_cast<int64_t>(c + 1) * chunk);
           ++i)
        want += static_cast<long double>(x.at(i)) * x.at(i);
      EXPECT_NEAR(got[c], static_cast<double>(want), static_cast<double>(want * chunk) * 0x1p-53) << elements;
    }
  }
}

TEST(SumOfSquares, AChunksBitsDependOnItAlone) {
  for (const auto& [elements, chunk] : kCases) {
    const Tensor x = random_tensor({elements}, DType::f32, 1);
    const std::vector<double> together = sums(CpuStream(1), x, chunk);
    EXPECT_EQ(sums(CpuStream(3), x, chunk), together);
    for (size_t c = 0; c < together.size(); ++c) {
      const int64_t first = static_cast<int64_t>(c) * chunk;
      EXPECT_EQ(sums(CpuStream(), x.view().slice(first, std::min(chunk, elements - first)), chunk).front(),
                together[c]);
    }
  }
}

TEST(SumOfSquares, ABrokenElementShowsInItsChunk) {
  const Tensor x = random_tensor({40}, DType::f32, 1);
  x.set(0, std::numeric_limits<float>::max());
  x.set(13, NAN);
  x.set(39, -INFINITY);
  const std::vector<double> got = sums(CpuStream(), x, 10);
  EXPECT_TRUE(std::isfinite(got[0]));
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_TRUE(std::isfinite(got[2]));
  EXPECT_TRUE(std::isinf(got[3]));
}

TEST(SumOfSquares, AnotherNumberOfSumsIsRefused) {
  double one = 0;
  EXPECT_TRUE(fails(ExitCode::internal, {"sum_of_squares"}, [&] {
    sum_of_squares(CpuStream(), Tensor({40}, DType::f32), 10, {&one, {1}, DType::f64, Device::cpu});
  }));
}

}  // namespace
}  // namespace switchyard
