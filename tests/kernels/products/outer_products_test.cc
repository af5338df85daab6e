#include "kernels/products/cpu/outer_products.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

TEST(ChainSteps, SkipSlicesWithoutRows) {
  const std::vector<int64_t> offsets{0, 2, 2, 2, 5, 5, 6};  // of slices 2 … 7: nodes [2, 4) and [4, 8)
  const std::vector<ChainStep> steps = chain_steps({2, 8}, offsets);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].rows, 2);
  EXPECT_EQ(steps[0].node, 0);
  EXPECT_EQ(steps[1].rows, 3);
  EXPECT_EQ(steps[1].node, -1);
  EXPECT_EQ(steps[2].rows, 1);
  EXPECT_EQ(steps[2].merges, 1);
  EXPECT_EQ(steps[2].node, 1);
}

TEST(ChainSteps, ANodeWithoutRowsIsWritten) {
  const std::vector<int64_t> offsets{0, 0, 0, 7};  // of slices 1, 2, 3: nodes [1, 2) and [2, 4)
  const std::vector<ChainStep> steps = chain_steps({1, 4}, offsets);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].rows, 0);
  EXPECT_EQ(steps[0].node, 0);
  EXPECT_EQ(steps[1].node, 1);
}

TEST(ChainSteps, GoOnWhereTheyWereLeft) {
  const std::vector<int64_t> offsets{0, 4, 10};
  const std::vector<ChainStep> steps = chain_steps({0, 2}, offsets);
  const std::vector<ChainStep> first = steps_between(steps, 0, 6), rest = steps_between(steps, 6, 10);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_FALSE(first[0].resumes);
  EXPECT_EQ(first[1].rows, 2);
  EXPECT_EQ(first[1].merges, 0);
  EXPECT_EQ(first[1].node, -1);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_TRUE(rest[0].resumes);
  EXPECT_EQ(rest[0].rows, 4);
  EXPECT_EQ(rest[0].merges, 1);
  EXPECT_EQ(rest[0].node, 0);
}

constexpr int64_t kStride = 48;

/// A tile's sums over eight slices, two of them without rows, the first `cut` of 17 rows first; around it, NaN.
template <class Sum>
Tensor sums(const Sum& sum, int64_t rows, int64_t columns, bool past_caches, int64_t cut = 17) {
  const std::vector<int64_t> offsets{0, 3, 3, 5, 9, 10, 12, 12, 17};
  const Tensor a = random_tensor({17, kOuterRows}, DType::f32, 1),
               b = random_tensor({17, kOuterColumns}, DType::f32, 2);
  const Tensor stack({stack_depth({0, 8}), kOuterTile}, DType::f32);
  Tensor result({kOuterRows + 2, kStride}, DType::f32);
  for (int64_t i = 0; i < result.size(); ++i) result.set(i, std::numeric_limits<float>::quiet_NaN());
  float* node = result.data<float>();
  for (const auto& [first, end] : {std::pair{int64_t{0}, cut}, std::pair{cut, int64_t{17}}}) {
    const std::vector<ChainStep> steps = steps_between(chain_steps({0, 8}, offsets), first, end);
    sum({.a = a.data<float>() + first * kOuterRows,
         .b = b.data<float>() + first * kOuterColumns,
         .steps = steps,
         .stack = stack.data<float>(),
         .nodes = &node,
         .offset = kStride + 16,
         .stride = kStride,
         .rows = rows,
         .columns = columns,
         .past_caches = past_caches});
  }
  return result;
}

TEST(OuterProducts, BitsDependNeitherOnTheTilesSizeNorOnTheRegisters) {
  const Tensor whole = sums(sum_outer_products_avx2, kOuterRows, kOuterColumns, false);
  for (const bool past_caches : {false, true})
    for (int64_t rows = 1; rows <= kOuterRows; ++rows)
      for (const int64_t columns : {1, 7, 8, 15, 16, 17, 31, 32}) {
        Tensor want({kOuterRows + 2, kStride}, DType::f32);
        for (int64_t i = 0; i < want.size(); ++i) want.set(i, std::numeric_limits<float>::quiet_NaN());
        for (int64_t r = 1; r <= rows; ++r)
          for (int64_t c = 16; c < 16 + columns; ++c)
            want.set(r * kStride + c, static_cast<float>(whole.at(r * kStride + c)));
        EXPECT_TRUE(same_bits(sums(sum_outer_products_avx2, rows, columns, past_caches), want))
            << rows << ", " << columns;
        if (has_avx512()) {
          EXPECT_TRUE(same_bits(sums(sum_outer_products_avx512, rows, columns, past_caches), want))
              << rows << ", " << columns;
        }
      }
}

TEST(OuterProducts, MayBeInterruptedAfterAnyRow) {
  const Tensor whole = sums(sum_outer_products_avx2, kOuterRows, kOuterColumns, false);
  for (int64_t cut = 1; cut < 17; ++cut) {
    EXPECT_TRUE(same_bits(sums(sum_outer_products_avx2, kOuterRows, kOuterColumns, false, cut), whole)) << cut;
    if (has_avx512()) {
      EXPECT_TRUE(same_bits(sums(sum_outer_products_avx512, kOuterRows, kOuterColumns, false, cut), whole)) << cut;
    }
  }
}

}  // namespace
}  // namespace switchyard
