#include "kernels/swiglu.h"

#include <gtest/gtest.h>

#include "reference/swiglu.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

class SwigluTest : public testing::TestWithParam<DType> {};

TEST_P(SwigluTest, AgreesWithDoublePrecision) {
  for (const auto& [rows, f] : {std::pair<int64_t, int64_t>{1, 1}, {70, 19}, {3, 64}, {0, 4}}) {
    const Tensor h = random_tensor({rows, 2 * f}, DType::f32, 1, 12);
    Tensor y({rows, f}, GetParam());
    CpuStream stream;
    swiglu(stream, h, y);
    std::vector<reference::Bounded> want;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < f; ++i)
        want.push_back(reference::swiglu({h.at(r * 2 * f + i), 0}, {h.at(r * 2 * f + f + i), 0}));
    EXPECT_TRUE(close(y, want));
  }
}

TEST_P(SwigluTest, ExtremeGatesNeitherOverflowNorVanish) {
  Tensor h({1, 6}, DType::f32), y({1, 3}, GetParam());
  h.set(0, 1e30f), h.set(1, -1e4f), h.set(2, NAN);
  for (int64_t i = 3; i < 6; ++i) h.set(i, 1);
  CpuStream stream;
  swiglu(stream, h, y);
  EXPECT_NEAR(y.at(0) / 1e30, 1, 0.01);
  EXPECT_NEAR(y.at(1), 0, 1e-30);
  EXPECT_TRUE(std::isnan(y.at(2)));
}

INSTANTIATE_TEST_SUITE_P(Types, SwigluTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

}  // namespace
}  // namespace switchyard
