#include "train/parameters/step_slices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace switchyard {
namespace {

using Ints = std::vector<int64_t>;

TEST(StepSlices, AreRunsOfWholeRecordsOfAboutAsManyTokens) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    Ints tokens(1 + random() % 60);
    for (int64_t& t : tokens) t = 1 + random() % (random() % 8 == 0 ? 2000 : 60);
    const int64_t slices = int64_t{1} << random() % 7, longest = std::ranges::max(tokens);
    const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
    const Ints ends = cut_into_slices(tokens, slices);
    ASSERT_EQ(std::ssize(ends), slices + 1);
    EXPECT_EQ(ends.front(), 0);
    EXPECT_EQ(ends.back(), std::ssize(tokens));
    EXPECT_TRUE(std::ranges::is_sorted(ends));
    // Of whatever ranks have, too.
    for (int64_t first = 0; first < slices; ++first)
      for (int64_t end = first + 1; end <= slices; ++end) {
        const int64_t has = std::accumulate(tokens.begin() + ends[static_cast<size_t>(first)],
                                            tokens.begin() + ends[static_cast<size_t>(end)], int64_t{0});
        ASSERT_LE(std::abs(has * slices - total * (end - first)), longest * slices) << first << " to " << end;
      }
  }
}

TEST(StepSlices, OfEqualRecordsAreEqual) {
  EXPECT_EQ(cut_into_slices(Ints(8, 128), 8), (Ints{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(cut_into_slices(Ints(8, 128), 4), (Ints{0, 2, 4, 6, 8}));
  EXPECT_EQ(cut_into_slices(Ints(12, 7), 1), (Ints{0, 12}));
}

TEST(StepSlices, MayBeEmpty) {
  EXPECT_EQ(cut_into_slices(Ints{9}, 4), (Ints{0, 0, 0, 1, 1}));
  EXPECT_EQ(cut_into_slices(Ints{1, 1, 1000, 1, 1}, 4), (Ints{0, 2, 2, 3, 5}));
  EXPECT_EQ(cut_into_slices(Ints{3, 3}, 8), (Ints{0, 0, 0, 1, 1, 1, 1, 2, 2}));
}

TEST(StepSlices, SoManyUnlessGiven) {
  for (const auto& [tokens, slices] :
       {std::pair(0, 8), {4096, 8}, {65535, 8}, {65536, 16}, {100'000, 16}, {131'072, 32}, {1'000'000, 128}})
    EXPECT_EQ(default_slices(tokens), slices) << tokens;
  EXPECT_EQ(default_slices(int64_t{1} << 40), kMaxSlices);
}

TEST(StepSlices, RanksHaveThemInOrder) {
  for (const int64_t slices : {1, 2, 8, 64})
    for (int ranks = 1; ranks <= 20; ++ranks) {
      int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const SliceRange mine = slices_of_rank(slices, rank, ranks);
        EXPECT_EQ(mine.first, next);
        EXPECT_LE(mine.count(), (slices + ranks - 1) / ranks);
        next = mine.end;
      }
      EXPECT_EQ(next, slices);
    }
}

}  // namespace
}  // namespace switchyard
