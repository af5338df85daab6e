#include "kernels/rows/copy_columns.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class CopyColumnsTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

struct CopyColumnsCase {
  int64_t n, x_dim, first, count, m, y_dim, to;
};

TEST_P(CopyColumnsTest, ColumnsGoToEveryRowThatSharesThem) {
  const TestStream stream(GetParam());
  for (const CopyColumnsCase& c : {CopyColumnsCase{5, 24, 8, 16, 5, 32, 4}, CopyColumnsCase{5, 24, 8, 16, 15, 32, 0},
                                   CopyColumnsCase{3, 7, 2, 5, 12, 11, 6}, CopyColumnsCase{70, 9, 0, 9, 140, 9, 0},
                                   CopyColumnsCase{2, 4100, 4, 4096, 2, 4108, 8}, CopyColumnsCase{4, 8, 1, 4, 8, 8, 4},
                                   CopyColumnsCase{4, 8, 4, 4, 8, 8, 3}, CopyColumnsCase{4, 6, 0, 4, 4, 8, 4},
                                   CopyColumnsCase{4, 8, 0, 4, 4, 6, 0}, CopyColumnsCase{4, 8, 8, 0, 4, 8, 8},
                                   CopyColumnsCase{0, 8, 0, 4, 0, 8, 0}})
    for (const int64_t displacement : {0, 1}) {
      const Tensor x = random_tensor({c.n, c.x_dim}, DType::f32, 1);
      Tensor y = random_tensor({c.m, c.y_dim}, DType::f32, 2), want = random_tensor({c.m, c.y_dim}, DType::f32, 2);
      for (int64_t r = 0; r < c.m; ++r)
        for (int64_t i = 0; i < c.count; ++i)
          want.data<float>()[r * c.y_dim + c.to + i] = x.data<float>()[r / (c.m / c.n) * c.x_dim + c.first + i];
      stream.run_displaced(displacement, copy_columns, x, c.first, c.count, y, c.to);
      EXPECT_TRUE(same_bits(y, want)) << c.count << " of " << c.x_dim << " to " << c.to;
    }
}

TEST_P(CopyColumnsTest, WhatLiesBeyondARowIsRefused) {
  const TestStream stream(GetParam());
  const Tensor x({2, 8}, DType::f32), y({4, 6}, DType::f32), odd({3, 6}, DType::f32);
  EXPECT_NO_THROW(stream.run(copy_columns, x, 4, 4, y, 2));
  EXPECT_THROW(stream.run(copy_columns, x, 5, 4, y, 2), Error);
  EXPECT_THROW(stream.run(copy_columns, x, 4, 4, y, 3), Error);
  EXPECT_THROW(stream.run(copy_columns, x, -1, 4, y, 2), Error);
  EXPECT_THROW(stream.run(copy_columns, x, 4, 4, odd, 2), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, CopyColumnsTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

// In small whole numbers, so that sums are exact.
TEST(CopyColumnsBackward, RowsThatSharedAreAddedUp) {
  for (const CopyColumnsCase& c : {CopyColumnsCase{5, 24, 8, 16, 5, 32, 4}, CopyColumnsCase{3, 7, 2, 5, 12, 11, 6},
                                   CopyColumnsCase{70, 9, 0, 9, 140, 9, 0}, CopyColumnsCase{4, 8, 8, 0, 4, 8, 8},
                                   CopyColumnsCase{0, 8, 0, 4, 0, 8, 0}}) {
    const Tensor dy({c.m, c.y_dim}, DType::f32);
    for (int64_t i = 0; i < dy.size(); ++i) dy.set(i, static_cast<float>(i * 7 % 19));
    Tensor dx = random_tensor({c.n, c.x_dim}, DType::f32, 1), want = random_tensor({c.n, c.x_dim}, DType::f32, 1);
    for (int64_t r = 0; r < c.n; ++r)
      for (int64_t i = 0; i < c.count; ++i) {
        float sum = 0;
        for (int64_t j = 0; j < c.m / c.n; ++j) sum += dy.data<float>()[(r * (c.m / c.n) + j) * c.y_dim + c.to + i];
        want.data<float>()[r * c.x_dim + c.first + i] = sum;
      }
    copy_columns_backward(CpuStream(), dy, c.to, c.count, dx, c.first);
    EXPECT_TRUE(same_bits(dx, want)) << c.count << " of " << c.y_dim << " from " << c.to;
  }
  const Tensor dy({3, 6}, DType::f32), dx({2, 8}, DType::f32);
  EXPECT_THROW(copy_columns_backward(CpuStream(), dy, 2, 4, dx, 4), Error);
}

}  // namespace
}  // namespace switchyard
