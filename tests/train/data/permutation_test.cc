#include "train/data/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace switchyard {
namespace {

std::vector<int64_t> order(int64_t size, uint64_t key) {
  const Permutation permutation(size, key);
  std::vector<int64_t> order;
  for (int64_t i = 0; i < size; ++i) order.push_back(permutation(i));
  return order;
}

TEST(Permutation, HasEachOnce) {
  for (int64_t size = 1; size <= 300; ++size) {
    std::vector<int64_t> sorted = order(size, static_cast<uint64_t>(size));
    std::ranges::sort(sorted);
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(sorted[static_cast<size_t>(i)], i) << size;
  }
  for (const int64_t size : {4096, 4097, 65535}) {
    const std::vector<int64_t> all = order(size, 3);
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), all.size());
  }
}

TEST(Permutation, OfMoreThanMemoryHolds) {
  constexpr int64_t kSize = (int64_t{1} << 61) + 17;
  const Permutation permutation(kSize, 5);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 2000; ++i) {
    const int64_t at = permutation(kSize - 1 - i);
    ASSERT_TRUE(at >= 0 && at < kSize);
    seen.insert(at);
  }
  EXPECT_EQ(seen.size(), 2000u);
  EXPECT_GT(*seen.rbegin(), kSize / 2);
}

// A run that goes on with another build must go on in the same order. (Computed by other software.)
TEST(Permutation, StaysWhatItIs) {
  const std::vector<int64_t> small = order(1000, 42);
  EXPECT_EQ(std::vector<int64_t>(small.begin(), small.begin() + 6),
            (std::vector<int64_t>{546, 202, 945, 163, 503, 584}));
  const Permutation large(int64_t{1} << 40, 7);
  EXPECT_EQ(large(0), 100967522435);
  EXPECT_EQ(large(1), 391226211427);
  EXPECT_EQ(large(2), 936347585103);
}

TEST(Permutation, AllOrdersOfAFewAreAsLikely) {
  for (const int64_t size : {2, 3, 4}) {
    const int64_t orders = std::lround(std::tgamma(static_cast<double>(size) + 1)), expected = 1000;
    std::map<std::vector<int64_t>, int64_t> count;
    for (int64_t key = 0; key < orders * expected; ++key) ++count[order(size, static_cast<uint64_t>(key))];
    EXPECT_EQ(std::ssize(count), orders);
    for (const auto& [one, times] : count)
      EXPECT_NEAR(static_cast<double>(times), expected, 5 * std::sqrt(expected)) << size;
  }
}

TEST(Permutation, AnythingMayComeAnywhere) {
  constexpr int64_t kSize = 37, kExpected = 400;
  std::vector<int64_t> count(kSize * kSize, 0);
  for (uint64_t key = 0; key < kSize * kExpected; ++key)
    for (int64_t i = 0; const int64_t at : order(kSize, key)) ++count[static_cast<size_t>(i++ * kSize + at)];
  for (const int64_t times : count) EXPECT_NEAR(static_cast<double>(times), kExpected, 6 * std::sqrt(kExpected));
}

}  // namespace
}  // namespace switchyard
