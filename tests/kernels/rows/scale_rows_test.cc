#include "kernels/rows/scale_rows.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class ScaleRowsTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

const float* value(const Tensor& t, int64_t i) {
  return t.data<float>() + i;
}

// One rounding, or two to bf16: the same bits everywhere.
TEST_P(ScaleRowsTest, EveryRowHasItsFactor) {
  const TestStream stream(GetParam());
  const std::vector<int32_t> list{4, 0, 4, 2, 1, 3, 0};
  for (const bool listed : {false, true})
    for (const DType output : {DType::f32, DType::bf16})
      for (const int64_t dim : {1, 7, 64, 1031, 2048})
        for (const int64_t displacement : {0, 1}) {
          const Tensor x = random_tensor({7, dim}, DType::f32, 1), row = i32_tensor(list),
                       factor = random_tensor({listed ? 5 : 7}, DType::f32, 2, 3);
          Tensor y({7, dim}, output), want({7, dim}, output);
          for (int64_t i = 0; i < want.size(); ++i)
            want.set(i, *value(factor, listed ? list[static_cast<size_t>(i / dim)] : i / dim) * *value(x, i));
          stream.run_displaced(displacement, scale_rows, x, listed ? ConstView(row) : ConstView{}, factor, y);
          EXPECT_TRUE(same_bits(y, want)) << dim;
        }
}

// Of heads: [tokens, heads, head_dim] by a factor a token.
TEST_P(ScaleRowsTest, RowsAreTheFirstAxisAndMayBeScaledInPlace) {
  const TestStream stream(GetParam());
  Tensor x = random_tensor({5, 3, 12}, DType::f32, 1), want = random_tensor({5, 3, 12}, DType::f32, 1);
  const Tensor factor = random_tensor({9}, DType::f32, 2);  // more than rows: the first are taken
  for (int64_t i = 0; i < want.size(); ++i) want.data<float>()[i] *= factor.data<float>()[i / 36];
  stream.run(scale_rows, x, ConstView{}, factor, x);
  EXPECT_TRUE(same_bits(x, want));
}

TEST_P(ScaleRowsTest, NoRowsAreScaled) {
  const Tensor none({0, 4}, DType::f32);
  EXPECT_NO_THROW(TestStream(GetParam()).run(scale_rows, none, ConstView{}, Tensor({2}, DType::f32), none));
}

TEST_P(ScaleRowsTest, OtherShapesAreRefused) {
  const TestStream stream(GetParam());
  const Tensor x({3, 8}, DType::f32), factor({2}, DType::f32);
  EXPECT_THROW(stream.run(scale_rows, x, ConstView{}, factor, x), Error);
  EXPECT_THROW(stream.run(scale_rows, x, i32_tensor({0, 1}), factor, x), Error);
  EXPECT_THROW(stream.run(scale_rows, x, i32_tensor({0, 1, 1}), factor, Tensor({3, 7}, DType::f32)), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, ScaleRowsTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

TEST(ScaleRows, FactorsBeyondTheLastAreRefused) {
  const Tensor x({2, 4}, DType::f32), factor({3}, DType::f32);
  CpuStream stream;
  EXPECT_NO_THROW(scale_rows(stream, x, i32_tensor({0, 2}), factor, x));
  EXPECT_THROW(scale_rows(stream, x, i32_tensor({0, 3}), factor, x), Error);
  EXPECT_THROW(scale_rows(stream, x, i32_tensor({-1, 0}), factor, x), Error);
}

// In small whole numbers, so that sums are exact.
TEST(ScaleRowsBackward, AFactorGainsWhatItsRowDoes) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t dim : {1, 7, 8, 33}) {
      const Tensor x({70, dim}, DType::f32), dy({70, dim}, dtype), want({70}, DType::f32),
          got = poisoned({70}, DType::f32);
      for (int64_t i = 0; i < x.size(); ++i) {
        x.set(i, static_cast<float>(i * 5 % 13 - 6));
        dy.set(i, static_cast<float>(i * 3 % 11 - 5));
        want.data<float>()[i / dim] += static_cast<float>(x.at(i) * dy.at(i));
      }
      scale_rows_backward(CpuStream(2), x, dy, got);
      EXPECT_TRUE(same_bits(got, want)) << dim;
    }
  const Tensor x({2, 4}, DType::f32);
  EXPECT_THROW(scale_rows_backward(CpuStream(), x, Tensor({2, 3}, DType::f32), Tensor({2}, DType::f32)), Error);
  EXPECT_THROW(scale_rows_backward(CpuStream(), x, x, Tensor({3}, DType::f32)), Error);
}

}  // namespace
}  // namespace switchyard
