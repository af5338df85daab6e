#include "kernels/routing/permute.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class PermuteTest : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
  }
  const Device device_ = std::get<Device>(GetParam());
  const DType dtype_ = std::get<DType>(GetParam());
};

TEST_P(PermuteTest, GatherThenScatterRestores) {
  TestStream stream(device_);
  const std::vector<int32_t> rows{4, 0, 2, 1, 3};
  for (const int64_t dim : {1, 2, 13, 20, 64, 4104})
    for (const int64_t displacement : {0, 1}) {
      const Tensor x = random_tensor({5, dim}, dtype_, 1);
      Tensor gathered({5, dim}, dtype_), back({5, dim}, dtype_);
      stream.run_displaced(displacement, gather_rows, x, i32_tensor(rows), gathered);
      for (int64_t i = 0; i < 5; ++i) EXPECT_TRUE(same_row_bits(gathered, i, x, rows[static_cast<size_t>(i)]));
      stream.run_displaced(displacement, scatter_rows, gathered, i32_tensor(rows), back);
      EXPECT_TRUE(same_bits(back, x));
    }
}

TEST_P(PermuteTest, GatherMayRepeatAndScatterLeavesTheRest) {
  const Tensor x = random_tensor({3, 4}, dtype_, 1);
  Tensor y({5, 4}, dtype_);
  TestStream stream(device_);
  stream.run(gather_rows, x, i32_tensor({2, 2, 0, 2, 1}), y);
  EXPECT_TRUE(same_row_bits(y, 3, x, 2));
  Tensor z = random_tensor({5, 4}, dtype_, 2);
  const Tensor before = random_tensor({5, 4}, dtype_, 2);
  stream.run(scatter_rows, x, i32_tensor({4, 0, 2}), z);
  EXPECT_TRUE(same_row_bits(z, 1, before, 1));
  EXPECT_TRUE(same_row_bits(z, 4, x, 0));
}

TEST_P(PermuteTest, NoRowsAreMoved) {
  const Tensor x = random_tensor({3, 4}, dtype_, 1), none({0, 4}, dtype_);
  Tensor y = random_tensor({3, 4}, dtype_, 1);
  TestStream stream(device_);
  stream.run(gather_rows, x, i32_tensor({}), none);
  stream.run(scatter_rows, none, i32_tensor({}), y);
  EXPECT_TRUE(same_bits(y, x));
}

TEST_P(PermuteTest, CombineIsTheWeightedSumAdded) {
  constexpr int64_t kTokens = 70, kSlots = 3;
  TestStream stream(device_);
  for (const int64_t dim : {21, 24}) {
    const Tensor y = random_tensor({kTokens, kSlots, dim}, dtype_, 1);
    const Tensor weight = random_tensor({kTokens, kSlots}, DType::f32, 2),
                 before = random_tensor({kTokens, dim}, DType::f32, 3);
    Tensor out = random_tensor({kTokens, dim}, DType::f32, 3);
    stream.run(combine, y, weight, out, out);
    std::vector<reference::Bounded> want;
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t i = 0; i < dim; ++i) {
        double sum = before.at(t * dim + i), magnitude = std::abs(sum);
        for (int64_t j = 0; j < kSlots; ++j) {
          const double term = weight.at(t * kSlots + j) * y.at((t * kSlots + j) * dim + i);
          sum += term;
          magnitude += std::abs(term);
        }
        want.push_back({sum, (kSlots + 1) * reference::kEpsilon * magnitude});
      }
    EXPECT_TRUE(close(out, want));
  }
}

TEST_P(PermuteTest, CombineWithoutWeightsTakesOnes) {
  TestStream stream(device_);
  for (const int64_t dim : {19, 1028}) {
    const Tensor y = random_tensor({9, 3, dim}, dtype_, 1);
    Tensor ones({9, 3}, DType::f32), out = random_tensor({9, dim}, DType::f32, 3),
                                     want = random_tensor({9, dim}, DType::f32, 3);
    for (int64_t i = 0; i < ones.size(); ++i) ones.set(i, 1);
    stream.run(combine, y, ones, want, want);
    stream.run(combine, y, ConstView{}, out, out);
    EXPECT_TRUE(same_bits(out, want));
  }
}

TEST_P(PermuteTest, CombineAddsToItsBaseWhichMayBeMissing) {
  const Tensor y = random_tensor({5, 2, 12}, dtype_, 1), weight = random_tensor({5, 2}, DType::f32, 2),
               base = random_tensor({5, 12}, DType::f32, 3);
  Tensor in_place = random_tensor({5, 12}, DType::f32, 3), zeros({5, 12}, DType::f32);
  TestStream stream(device_);
  stream.run(combine, y, weight, in_place, in_place);
  stream.run(combine, y, weight, zeros, zeros);
  Tensor elsewhere = poisoned({5, 12}, DType::f32), alone = poisoned({5, 12}, DType::f32);
  stream.run(combine, y, weight, base, elsewhere);
  stream.run(combine, y, weight, ConstView{}, alone);
  EXPECT_TRUE(same_bits(elsewhere, in_place));
  EXPECT_TRUE(same_bits(alone, zeros));
}

// The order of the sum and its roundings are written out: one result, on every device and at any address.
TEST_P(PermuteTest, CombineGivesTheCpusBits) {
  TestStream stream(device_);
  CpuStream cpu;
  for (const int64_t dim : {1, 19, 1028})
    for (const int64_t displacement : {0, 1}) {
      const Tensor y = random_tensor({9, 8, dim}, dtype_, 1), weight = random_tensor({9, 8}, DType::f32, 2);
      Tensor out = random_tensor({9, dim}, DType::f32, 3), want = random_tensor({9, dim}, DType::f32, 3);
      combine(cpu, y, weight, want, want);
      stream.run_displaced(displacement, combine, y, weight, out, out);
      EXPECT_TRUE(same_bits(out, want));
    }
}

INSTANTIATE_TEST_SUITE_P(Types, PermuteTest,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)));

TEST(Permute, IndicesBeyondTheRowsAreRefused) {
  const Tensor x = random_tensor({3, 4}, DType::bf16, 1);
  Tensor y({1, 4}, DType::bf16);
  CpuStream stream;
  EXPECT_THROW(gather_rows(stream, x, i32_tensor({3}), y), Error);
  EXPECT_THROW(gather_rows(stream, x, i32_tensor({-1}), y), Error);
  EXPECT_THROW(scatter_rows(stream, x, i32_tensor({0, 1, 2}), y), Error);
}

class MoveBytesTest : public testing::TestWithParam<Device> {};

TEST_P(MoveBytesTest, RowsOfAnyTypeAreMoved) {
  if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  const std::vector<int32_t> rows{3, 1, 2, 0};
  for (const DType dtype : {DType::u8, DType::i64})
    for (const int64_t dim : {1, 3, 48}) {
      Tensor x({4, dim}, dtype), y({4, dim}, dtype);
      for (size_t i = 0; i < 4 * x.row_bytes(); ++i)
        static_cast<uint8_t*>(x.view().data)[i] = static_cast<uint8_t>(random_bits(1, i));
      TestStream(GetParam()).run(gather_rows, x, i32_tensor(rows), y);
      for (int64_t i = 0; i < 4; ++i)
        EXPECT_EQ(std::memcmp(y.row(i), x.row(rows[static_cast<size_t>(i)]), x.row_bytes()), 0) << "row " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Devices, MoveBytesTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

TEST(Combine, SumsInSlotOrderBeforeAdding) {
  Tensor y({1, 3, 1}, DType::f32), weight({1, 3}, DType::f32), out({1, 1}, DType::f32);
  for (int64_t j = 0; j < 3; ++j) weight.set(j, 1);
  y.set(0, 1e8f), y.set(1, 3), y.set(2, -1e8f);
  out.set(0, 0.5f);
  CpuStream stream;
  combine(stream, y, weight, out, out);
  EXPECT_EQ(out.at(0), (1e8f + 3.0f) - 1e8f + 0.5f);
}

}  // namespace
}  // namespace switchyard
