#include "kernels/rms_norm.h"

#include <gtest/gtest.h>

#include "reference/rms_norm.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct Case {
  DType output;
  int64_t rows, dim;
};

class RmsNormTest : public testing::TestWithParam<std::tuple<Device, Case>> {};

TEST_P(RmsNormTest, AgreesWithDoublePrecision) {
  const auto [device, c] = GetParam();
  const auto [output, rows, dim] = c;
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const Tensor x = random_tensor({rows, dim}, DType::f32, 1, 3), weight = random_tensor({dim}, DType::f32, 2);
  Tensor y({rows, dim}, output);
  TestStream stream(device);
  stream.run(rms_norm, x, weight, 1e-5f, y);
  EXPECT_TRUE(close(y, reference::rms_norm(x, weight, rows, dim, 1e-5)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RmsNormTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(Case{DType::f32, 1, 1}, Case{DType::f32, 130, 33},
                                                          Case{DType::f32, 3, 1024}, Case{DType::bf16, 65, 64},
                                                          Case{DType::bf16, 2, 7}, Case{DType::f32, 0, 8})));

TEST(RmsNorm, InPlaceGivesTheSameBits) {
  const Tensor x = random_tensor({20, 45}, DType::f32, 1), weight = random_tensor({45}, DType::f32, 2);
  Tensor in_place = random_tensor({20, 45}, DType::f32, 1), y({20, 45}, DType::f32);
  CpuStream stream;
  rms_norm(stream, x, weight, 1e-6f, y);
  rms_norm(stream, in_place, weight, 1e-6f, in_place);
  EXPECT_TRUE(same_bits(in_place, y));
}

TEST(RmsNorm, AZeroRowStaysZero) {
  Tensor x({1, 16}, DType::f32), y({1, 16}, DType::f32);
  CpuStream stream;
  rms_norm(stream, x, random_tensor({16}, DType::f32, 2), 1e-6f, y);
  for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(y.at(i), 0);
}

}  // namespace
}  // namespace switchyard
