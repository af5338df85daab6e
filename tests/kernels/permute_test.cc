#include "kernels/permute.h"

#include <gtest/gtest.h>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

class PermuteTest : public testing::TestWithParam<DType> {};

TEST_P(PermuteTest, GatherThenScatterRestores) {
  const std::vector<int32_t> rows{4, 0, 2, 1, 3};
  const Tensor x = random_tensor({5, 13}, GetParam(), 1);
  Tensor gathered({5, 13}, GetParam()), back({5, 13}, GetParam());
  CpuStream stream;
  gather_rows(stream, x, i32_tensor(rows), gathered);
  for (int64_t i = 0; i < 5; ++i) EXPECT_TRUE(same_row_bits(gathered, i, x, rows[static_cast<size_t>(i)]));
  scatter_rows(stream, gathered, i32_tensor(rows), back);
  EXPECT_TRUE(same_bits(back, x));
}

TEST_P(PermuteTest, GatherMayRepeatAndScatterLeavesTheRest) {
  const Tensor x = random_tensor({3, 4}, GetParam(), 1);
  Tensor y({5, 4}, GetParam());
  CpuStream stream;
  gather_rows(stream, x, i32_tensor({2, 2, 0, 2, 1}), y);
  EXPECT_TRUE(same_row_bits(y, 3, x, 2));
  Tensor z = random_tensor({5, 4}, GetParam(), 2);
  const Tensor before = random_tensor({5, 4}, GetParam(), 2);
  scatter_rows(stream, x, i32_tensor({4, 0, 2}), z);
  EXPECT_TRUE(same_row_bits(z, 1, before, 1));
  EXPECT_TRUE(same_row_bits(z, 4, x, 0));
}

TEST_P(PermuteTest, IndicesBeyondTheRowsAreRefused) {
  const Tensor x = random_tensor({3, 4}, GetParam(), 1);
  Tensor y({1, 4}, GetParam());
  CpuStream stream;
  EXPECT_THROW(gather_rows(stream, x, i32_tensor({3}), y), Error);
  EXPECT_THROW(gather_rows(stream, x, i32_tensor({-1}), y), Error);
  EXPECT_THROW(scatter_rows(stream, x, i32_tensor({0, 1, 2}), y), Error);
}

TEST_P(PermuteTest, CombineIsTheWeightedSumAdded) {
  constexpr int64_t kTokens = 70, kSlots = 3, kDim = 21;
  const Tensor y = random_tensor({kTokens, kSlots, kDim}, GetParam(), 1);
  const Tensor weight = random_tensor({kTokens, kSlots}, DType::f32, 2),
               before = random_tensor({kTokens, kDim}, DType::f32, 3);
  Tensor out = random_tensor({kTokens, kDim}, DType::f32, 3);
  CpuStream stream;
  combine(stream, y, weight, out);
  std::vector<reference::Bounded> want;
  for (int64_t t = 0; t < kTokens; ++t)
    for (int64_t i = 0; i < kDim; ++i) {
      double sum = before.at(t * kDim + i), magnitude = std::abs(sum);
      for (int64_t j = 0; j < kSlots; ++j) {
        const double term = weight.at(t * kSlots + j) * y.at((t * kSlots + j) * kDim + i);
        sum += term;
        magnitude += std::abs(term);
      }
      want.push_back({sum, (kSlots + 1) * reference::kEpsilon * magnitude});
    }
  EXPECT_TRUE(close(out, want));
}

INSTANTIATE_TEST_SUITE_P(Types, PermuteTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

TEST(Combine, SumsInSlotOrderBeforeAdding) {
  Tensor y({1, 3, 1}, DType::f32), weight({1, 3}, DType::f32), out({1, 1}, DType::f32);
  for (int64_t j = 0; j < 3; ++j) weight.set(j, 1);
  y.set(0, 1e8f), y.set(1, 3), y.set(2, -1e8f);
  out.set(0, 0.5f);
  CpuStream stream;
  combine(stream, y, weight, out);
  EXPECT_EQ(out.at(0), (1e8f + 3.0f) - 1e8f + 0.5f);
}

}  // namespace
}  // namespace switchyard
