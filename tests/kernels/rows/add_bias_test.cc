#include "kernels/rows/add_bias.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class AddBiasTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

// One rounding: the same bits everywhere.
TEST_P(AddBiasTest, IsAddedToEveryRow) {
  const TestStream stream(GetParam());
  for (const int64_t rows : {0, 1, 70})
    for (const int64_t dim : {1, 7, 64, 1031, 2048})
      for (const int64_t displacement : {0, 1}) {
        const Tensor bias = random_tensor({dim}, DType::f32, 1);
        Tensor y = random_tensor({rows, dim}, DType::f32, 2), want = random_tensor({rows, dim}, DType::f32, 2);
        for (int64_t i = 0; i < want.size(); ++i) want.data<float>()[i] += bias.data<float>()[i % dim];
        stream.run_displaced(displacement, add_bias, bias, y);
        EXPECT_TRUE(same_bits(y, want)) << rows << " x " << dim;
      }
}

TEST_P(AddBiasTest, AnotherLengthIsRefused) {
  const Tensor y({3, 8}, DType::f32);
  EXPECT_THROW(TestStream(GetParam()).run(add_bias, Tensor({4}, DType::f32), y), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, AddBiasTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

}  // namespace
}  // namespace switchyard
