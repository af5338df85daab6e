#include "kernels/products/cpu/multiply_tile.h"

#include <gtest/gtest.h>

#include "reference/linear.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kDepth = 37;

/// c = or += a b by the kernel for `rows` rows, from the same numbers always.
Tensor product(std::span<const MultiplyTile> kernels, LeftOperand left, int64_t rows, bool accumulate) {
  const Tensor a = random_tensor({rows, kDepth}, DType::f32, 1),
               b = random_tensor({kDepth, kTileColumns}, DType::f32, 2);
  Tensor c = random_tensor({rows, kTileColumns}, DType::f32, 3), by_depth({kDepth, kMostMultiplyRows}, DType::f32);
  for (int64_t i = 0; i < a.size(); ++i)
    by_depth.set(i % kDepth * kMostMultiplyRows + i / kDepth, static_cast<float>(a.at(i)));
  const bool as_is = left == LeftOperand::by_row;
  kernels[static_cast<size_t>(rows) - 1]((as_is ? a : by_depth).data<float>(), as_is ? kDepth : kMostMultiplyRows,
                                         b.data<float>(), kDepth, accumulate, c.data<float>(), kTileColumns);
  return c;
}

TEST(MultiplyTile, AgreesWithDoublePrecision) {
  const Tensor a = random_tensor({6, kDepth}, DType::f32, 1), b = random_tensor({kDepth, kTileColumns}, DType::f32, 2);
  Tensor b_transposed({kTileColumns, kDepth}, DType::f32);
  for (int64_t i = 0; i < kDepth; ++i)
    for (int64_t j = 0; j < kTileColumns; ++j)
      b_transposed.set(j * kDepth + i, static_cast<float>(b.at(i * kTileColumns + j)));
  for (const LeftOperand left : {LeftOperand::by_row, LeftOperand::by_depth})
    EXPECT_TRUE(close(product(multiply_tiles_avx2(left), left, 6, false),
                      reference::linear(a, b_transposed, 6, kTileColumns, kDepth)));
}

TEST(MultiplyTile, ARowsBitsDependNeitherOnTheOthersNorOnTheRegistersNorOnHowItLies) {
  for (const bool accumulate : {false, true}) {
    const Tensor six = product(multiply_tiles_avx2(), LeftOperand::by_row, 6, accumulate);
    for (const LeftOperand left : {LeftOperand::by_row, LeftOperand::by_depth}) {
      const auto check = [&](std::span<const MultiplyTile> kernels) {
        for (int64_t rows = 1; rows <= std::ssize(kernels); ++rows) {
          const Tensor some = product(kernels, left, rows, accumulate);
          for (int64_t r = 0; r < std::min<int64_t>(rows, 6); ++r) ASSERT_TRUE(same_row_bits(some, r, six, r)) << rows;
        }
      };
      check(multiply_tiles_avx2(left));
      if (has_avx512()) check(multiply_tiles_avx512(left));
    }
  }
}

}  // namespace
}  // namespace switchyard
