#include "kernels/products/gemm.h"

#include <gtest/gtest.h>

#include "reference/linear.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct GemmCase {
  DType operand;
  int64_t rows, n, k;
};

std::ostream& operator<<(std::ostream& os, const GemmCase& c) {
  return os << name_of(c.operand) << "_" << c.rows << "x" << c.n << "x" << c.k;
}

Tensor weights_of(const GemmCase& c) {
  return widened(random_tensor({c.n, c.k}, c.operand, 2));
}

class GemmTest : public testing::TestWithParam<std::tuple<Device, GemmCase>> {
  void SetUp() override {
    if (const std::string why = why_skipped(std::get<Device>(GetParam())); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(GemmTest, AgreesWithDoublePrecision) {
  const auto& [device, c] = GetParam();
  const TestStream stream(device);
  const Tensor x = random_tensor({c.rows, c.k}, c.operand, 1), w = weights_of(c);
  Tensor y({c.rows, c.n}, DType::f32);
  stream.run(gemm, x, PackedMatrix::pack(stream, w, c.operand), GemmOutput::store, y);
  EXPECT_TRUE(close(y, reference::linear(x, w, c.rows, c.n, c.k)));
}

TEST_P(GemmTest, AddsTheCompletedProduct) {
  const auto& [device, c] = GetParam();
  const TestStream stream(device);
  const Tensor x = random_tensor({c.rows, c.k}, c.operand, 1);
  const PackedMatrix w = PackedMatrix::pack(stream, weights_of(c), c.operand);
  Tensor product({c.rows, c.n}, DType::f32), sum = random_tensor({c.rows, c.n}, DType::f32, 3);
  Tensor want = random_tensor({c.rows, c.n}, DType::f32, 3);
  stream.run(gemm, x, w, GemmOutput::store, product);
  stream.run(gemm, x, w, GemmOutput::add, sum);
  for (int64_t i = 0; i < want.size(); ++i) want.data<float>()[i] += product.data<float>()[i];
  EXPECT_TRUE(same_bits(sum, want));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GemmTest,
    testing::Combine(testing::ValuesIn(kDevices),
                     testing::Values(GemmCase{DType::f32, 150, 40, 200},  // first: what sanitizers see of cuBLASLt
                                     GemmCase{DType::f32, 1, 1, 1}, GemmCase{DType::f32, 7, 17, 33},
                                     GemmCase{DType::f32, 33, 513, 64}, GemmCase{DType::f32, 0, 8, 8},
                                     GemmCase{DType::f32, 20, 64, 12}, GemmCase{DType::bf16, 150, 40, 200},
                                     GemmCase{DType::bf16, 1, 1, 1}, GemmCase{DType::bf16, 7, 17, 33},
                                     GemmCase{DType::bf16, 33, 513, 64}, GemmCase{DType::bf16, 1030, 33, 16},
                                     GemmCase{DType::bf16, 9, 130, 12}, GemmCase{DType::bf16, 130, 96, 80})),
    name_of_parameters<GemmCase>);

// A row alone, at every place of a tile, and between other rows, on any number of threads: the same bits.
class GemmRowBits : public GemmTest {};

TEST_P(GemmRowBits, DependOnTheRowAlone) {
  const auto& [device, c] = GetParam();
  const TestStream one(device, 1), three(device, 3);
  const Tensor x = random_tensor({c.rows, c.k}, c.operand, 1);
  const PackedMatrix w = PackedMatrix::pack(one, weights_of(c), c.operand);
  synchronize(one);
  Tensor all({c.rows, c.n}, DType::f32), again({c.rows, c.n}, DType::f32);
  one.run(gemm, x, w, GemmOutput::store, all);
  three.run(gemm, x, w, GemmOutput::store, again);
  EXPECT_TRUE(same_bits(all, again));
  for (const int64_t count : {int64_t{1}, int64_t{2}, int64_t{5}, int64_t{9}, int64_t{31}, int64_t{45}, int64_t{128}}) {
    for (int64_t first = 0; first + count <= c.rows; first += 37) {
      Tensor part({count, c.n}, DType::f32);
      three.run(gemm, x.view().slice(first, count), w, GemmOutput::store, part);
      for (int64_t r = 0; r < count; ++r) ASSERT_TRUE(same_row_bits(part, r, all, first + r)) << "of " << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GemmRowBits,
    testing::Combine(testing::ValuesIn(kDevices),
                     testing::Values(GemmCase{DType::f32, 200, 2, 16}, GemmCase{DType::f32, 200, 3, 15},
                                     GemmCase{DType::f32, 200, 4, 18}, GemmCase{DType::f32, 300, 70, 33},
                                     GemmCase{DType::f32, 140, 64, 80}, GemmCase{DType::bf16, 300, 70, 33},
                                     GemmCase{DType::bf16, 140, 64, 80}, GemmCase{DType::bf16, 203, 136, 72})),
    name_of_parameters<GemmCase>);

INSTANTIATE_TEST_SUITE_P(
    LargeShapes, GemmRowBits,
    testing::Combine(testing::Values(Device::cpu),
                     testing::Values(GemmCase{DType::f32, 203, 530, 257}, GemmCase{DType::f32, 140, 64, 1500},
                                     GemmCase{DType::f32, 2200, 1024, 8},  // more results than caches hold
                                     GemmCase{DType::bf16, 203, 530, 257}, GemmCase{DType::bf16, 140, 64, 1500})),
    name_of_parameters<GemmCase>);

}  // namespace
}  // namespace switchyard
