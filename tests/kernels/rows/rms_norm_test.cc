#include "kernels/rows/rms_norm.h"

#include <gtest/gtest.h>

#include "kernels/rows/cast.h"
#include "reference/rms_norm.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct RmsNormCase {
  DType output;
  int64_t rows, dim;
};

class RmsNormTest : public testing::TestWithParam<std::tuple<Device, RmsNormCase>> {};

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

INSTANTIATE_TEST_SUITE_P(
    Shapes, RmsNormTest,
    testing::Combine(testing::ValuesIn(kDevices),
                     testing::Values(RmsNormCase{DType::f32, 1, 1}, RmsNormCase{DType::f32, 130, 33},
                                     RmsNormCase{DType::f32, 3, 1024}, RmsNormCase{DType::bf16, 65, 64},
                                     RmsNormCase{DType::bf16, 2, 7}, RmsNormCase{DType::f32, 0, 8},
                                     RmsNormCase{DType::f32, 21, 256}, RmsNormCase{DType::bf16, 3, 257},
                                     RmsNormCase{DType::bf16, 2, 2052})));

class RmsNormOnDeviceTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(RmsNormOnDeviceTest, ARowsBitsDependOnItAlone) {
  TestStream stream(GetParam());
  for (const int64_t dim : {5, 64, 128, 256, 300, 1031})
    for (const DType output : {DType::f32, DType::bf16}) {
      const Tensor x = random_tensor({37, dim}, DType::f32, 1, 3), weight = random_tensor({dim}, DType::f32, 2);
      Tensor together({37, dim}, output), one({1, dim}, output);
      stream.run(rms_norm, x, weight, 1e-6f, together);
      for (int64_t r = 0; r < 37; ++r) {
        stream.run_displaced(r % 2, rms_norm, x.view().slice(r, 1), weight, 1e-6f, one);
        ASSERT_TRUE(same_row_bits(one, 0, together, r));
      }
    }
}

TEST_P(RmsNormOnDeviceTest, InPlaceGivesTheSameBits) {
  TestStream stream(GetParam());
  for (const int64_t dim : {45, 1028}) {
    const Tensor x = random_tensor({20, dim}, DType::f32, 1), weight = random_tensor({dim}, DType::f32, 2);
    Tensor in_place = random_tensor({20, dim}, DType::f32, 1), y({20, dim}, DType::f32);
    stream.run(rms_norm, x, weight, 1e-6f, y);
    stream.run(rms_norm, in_place, weight, 1e-6f, in_place);
    EXPECT_TRUE(same_bits(in_place, y));
  }
}

TEST_P(RmsNormOnDeviceTest, WithoutWeightsTheyAreOnes) {
  TestStream stream(GetParam());
  for (const int64_t dim : {45, 64, 1028})
    for (const DType output : {DType::f32, DType::bf16}) {
      const Tensor x = random_tensor({20, dim}, DType::f32, 1);
      Tensor ones({dim}, DType::f32), want({20, dim}, output), y({20, dim}, output);
      for (int64_t i = 0; i < dim; ++i) ones.set(i, 1);
      stream.run(rms_norm, x, ones, 1e-6f, want);
      stream.run(rms_norm, x, ConstView{}, 1e-6f, y);
      EXPECT_TRUE(same_bits(y, want));
    }
}

TEST_P(RmsNormOnDeviceTest, RoundedBesideGivesTheSameBits) {
  TestStream stream(GetParam());
  for (const int64_t dim : {45, 64, 256, 1028})
    for (const int64_t displacement : {0, 1}) {
      const Tensor x = random_tensor({20, dim}, DType::f32, 1), weight = random_tensor({dim}, DType::f32, 2);
      const Tensor want({20, dim}, DType::f32), want_rounded({20, dim}, DType::bf16);
      const Tensor y = poisoned({20, dim}, DType::f32), rounded = poisoned({20, dim}, DType::bf16);
      stream.run(rms_norm, x, weight, 1e-6f, want);
      stream.run(rms_norm, x, weight, 1e-6f, want_rounded);
      stream.run_displaced(displacement, rms_norm_rounded, x, weight, 1e-6f, y, rounded);
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(same_bits(rounded, want_rounded));
    }
}

TEST_P(RmsNormOnDeviceTest, AZeroRowStaysZero) {
  Tensor x({1, 16}, DType::f32), y({1, 16}, DType::f32);
  TestStream(GetParam()).run(rms_norm, x, random_tensor({16}, DType::f32, 2), 1e-6f, y);
  for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(y.at(i), 0);
}

// More than caches hold is written past them: the same bits.
TEST(RmsNorm, AsManyRowsAsNoCacheHoldsAreTheSame) {
  const CpuStream stream;
  for (const DType output : {DType::f32, DType::bf16})
    for (const int64_t dim : {1020, 1024}) {
      constexpr int64_t kRows = 4400, kParts = 4;
      const Tensor x = random_tensor({kRows, dim}, DType::f32, 1), weight = random_tensor({dim}, DType::f32, 2);
      const Tensor all = poisoned({kRows, dim}, output), parts = poisoned({kRows, dim}, output);
      rms_norm(stream, x, weight, 1e-6f, all);
      for (int64_t first = 0; first < kRows; first += kRows / kParts)
        rms_norm(stream, x.view().slice(first, kRows / kParts), weight, 1e-6f,
                 parts.view().slice(first, kRows / kParts));
      EXPECT_TRUE(same_bits(all, parts));
      if (output == DType::bf16) continue;
      const Tensor rounded = poisoned({kRows, dim}, DType::bf16), want({kRows, dim}, DType::bf16);
      cast(stream, all, want);
      rms_norm_rounded(stream, x, weight, 1e-6f, parts, rounded);
      EXPECT_TRUE(same_bits(parts, all) && same_bits(rounded, want));
    }
}

INSTANTIATE_TEST_SUITE_P(Devices, RmsNormOnDeviceTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

}  // namespace
}  // namespace switchyard
