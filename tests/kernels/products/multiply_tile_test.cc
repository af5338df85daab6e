#include "kernels/products/cpu/multiply_tile.h"

#include <gtest/gtest.h>

#include "reference/linear.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

constexpr int64_t kDepth = 37;

/// c = or += a b by the kernel for `rows` rows, from the same numbers always.
Tensor product(std::span<const MultiplyTile> kernels, int64_t rows, bool accumulate) {
  const Tensor a = random_tensor({rows, kDepth}, DType::f32, 1),
               b = random_tensor({kDepth, kTileColumns}, DType::f32, 2);
  Tensor c = random_tensor({rows, kTileColumns}, DType::f32, 3);
  kernels[static_cast<size_t>(rows) - 1](a.data<float>(), kDepth, b.data<float>(), kDepth, accumulate, c.data<float>(),
                                         kTileColumns);
  return c;
}

TEST(MultiplyTile, AgreesWithDoublePrecision) {
  const Tensor a = random_tensor({6, kDepth}, DType::f32, 1), b = random_tensor({kDepth, kTileColumns}, DType::f32, 2);
  Tensor b_transposed({kTileColumns, kDepth}, DType::f32);
  for (int64_t i = 0; i < kDepth; ++i)
    for (int64_t j = 0; j < kTileColumns; ++j)
      b_transposed.set(j * kDepth + i, static_cast<float>(b.at(i * kTileColumns + j)));
  EXPECT_TRUE(
      close(product(multiply_tiles_avx2(), 6, false), reference::linear(a, b_transposed, 6, kTileColumns, kDepth)));
}

TEST(MultiplyTile, ARowsBitsDependNeitherOnTheOthersNorOnTheRegisters) {
  for (const bool accumulate : {false, true}) {
    const Tensor six = product(multiply_tiles_avx2(), 6, accumulate);
    const auto check = [&](std::span<const MultiplyTile> kernels) {
      for (int64_t rows = 1; rows <= std::ssize(kernels); ++rows) {
        const Tensor some = product(kernels, rows, accumulate);
        for (int64_t r = 0; r < std::min<int64_t>(rows, 6); ++r) ASSERT_TRUE(same_row_bits(some, r, six, r)) << rows;
      }
    };
    check(multiply_tiles_avx2());
    if (has_avx512()) check(multiply_tiles_avx512());
  }
}

}  // namespace
}  // namespace switchyard
