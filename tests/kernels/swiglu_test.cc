#include "kernels/swiglu.h"

#include <gtest/gtest.h>

#include "reference/swiglu.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class SwigluTest : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
  }
  const Device device_ = std::get<Device>(GetParam());
  const DType dtype_ = std::get<DType>(GetParam());
};

TEST_P(SwigluTest, AgreesWithDoublePrecision) {
  TestStream stream(device_);
  for (const auto& [rows, f] : {std::pair<int64_t, int64_t>{1, 1}, {70, 19}, {3, 64}, {2, 1100}, {0, 4}}) {
    const Tensor h = random_tensor({rows, 2 * f}, DType::f32, 1, 12);
    Tensor y({rows, f}, dtype_);
    stream.run(swiglu, h, y);
    std::vector<reference::Bounded> want;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < f; ++i)
        want.push_back(reference::swiglu({h.at(r * 2 * f + i), 0}, {h.at(r * 2 * f + f + i), 0}));
    EXPECT_TRUE(close(y, want));
  }
}

TEST_P(SwigluTest, ARowsBitsDependOnItAlone) {
  TestStream stream(device_);
  for (const int64_t f : {12, 13}) {
    const Tensor h = random_tensor({70, 2 * f}, DType::f32, 1, 12);
    Tensor together({70, f}, dtype_), one({1, f}, dtype_);
    stream.run(swiglu, h, together);
    for (int64_t r = 0; r < 70; ++r) {
      stream.run_displaced(r % 2, swiglu, h.view().slice(r, 1), one);
      ASSERT_TRUE(same_row_bits(one, 0, together, r));
    }
  }
}

TEST_P(SwigluTest, ExtremeGatesNeitherOverflowNorVanish) {
  Tensor h({1, 6}, DType::f32), y({1, 3}, dtype_);
  h.set(0, 1e30f), h.set(1, -1e4f), h.set(2, NAN);
  for (int64_t i = 3; i < 6; ++i) h.set(i, 1);
  TestStream(device_).run(swiglu, h, y);
  EXPECT_NEAR(y.at(0) / 1e30, 1, 0.01);
  EXPECT_NEAR(y.at(1), 0, 1e-30);
  EXPECT_TRUE(std::isnan(y.at(2)));
}

INSTANTIATE_TEST_SUITE_P(Types, SwigluTest,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)));

}  // namespace
}  // namespace switchyard
