#include "kernels/rows/random_fill.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class RandomFillTest : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
  }
  const Device device_ = std::get<Device>(GetParam());
  const DType dtype_ = std::get<DType>(GetParam());
};

TEST_P(RandomFillTest, IsTheGeneratorsValueAtEachIndex) {
  const TestStream stream(device_);
  constexpr int64_t kFirst = int64_t{5} << 32;
  for (const int64_t count : {0, 1, 3, 1030, 70'000})
    for (const int64_t displacement : {0, 1}) {
      Tensor y({count}, dtype_), want({count}, dtype_);
      stream.run_displaced(displacement, random_fill, uint64_t{7}, kFirst, 0.02f, 1.5f, y);
      for (int64_t i = 0; i < count; ++i)
        want.set(i, 0.02f * (2 * random_uniform(7, static_cast<uint64_t>(kFirst + i)) - 1) + 1.5f);
      ASSERT_TRUE(same_bits(y, want)) << count << " elements";
    }
}

TEST_P(RandomFillTest, AnyPartHasTheValuesOfTheWhole) {
  const TestStream stream(device_);
  Tensor whole({1000, 3}, dtype_), part({211, 3}, dtype_);
  stream.run(random_fill, uint64_t{1}, int64_t{0}, 2.0f, 0.0f, whole);
  stream.run(random_fill, uint64_t{1}, int64_t{37 * 3}, 2.0f, 0.0f, part);
  for (int64_t r = 0; r < 211; ++r) ASSERT_TRUE(same_row_bits(part, r, whole, 37 + r));
}

INSTANTIATE_TEST_SUITE_P(Types, RandomFillTest,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)));

}  // namespace
}  // namespace switchyard
