#include "jobs/score/batch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace switchyard {
namespace {

int64_t load(const std::vector<int>& batch, const std::vector<int64_t>& lengths) {
  int64_t sum = 0;
  for (const int i : batch) sum += lengths[static_cast<size_t>(i)];
  return sum;
}

class BatchPlanTest : public ::testing::TestWithParam<std::tuple<int, int, int64_t>> {};

TEST_P(BatchPlanTest, EveryRecordOnceWithinTheCapacityAndEvenly) {
  const auto [num_records, ranks, capacity] = GetParam();
  std::vector<int64_t> lengths;
  for (int i = 0; i < num_records; ++i)
    lengths.push_back(1 + static_cast<int64_t>(random_bits(7, static_cast<uint64_t>(i)) % 300));

  std::vector<int> seen(lengths.size(), 0);
  for (const auto& step : plan_batches(lengths, ranks, capacity)) {
    ASSERT_EQ(step.size(), static_cast<size_t>(ranks));
    int64_t least = INT64_MAX, most = 0;
    for (const auto& batch : step) {
      for (const int i : batch) ++seen[static_cast<size_t>(i)];
      EXPECT_TRUE(batch.size() == 1 || load(batch, lengths) <= capacity);
      least = std::min(least, load(batch, lengths));
      most = std::max(most, load(batch, lengths));
    }
    if (num_records >= 20 * ranks) {
      EXPECT_LE(most - least, 300) << "one record's length at most";
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), num_records);
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchPlanTest,
                         ::testing::Combine(::testing::Values(0, 1, 5, 1000), ::testing::Values(1, 3, 8),
                                            ::testing::Values<int64_t>(1, 300, 4096)));

TEST(BatchPlan, LongestFirst) {
  const std::vector<int64_t> lengths = {5, 9, 9, 1};
  const BatchPlan plan = plan_batches(lengths, 1, 9);
  ASSERT_FALSE(plan.empty());
  EXPECT_EQ(plan[0][0][0], 1);
}

TEST(BatchPlan, ARecordBeyondTheCapacityIsABatchOfItsOwn) {
  const std::vector<int64_t> lengths = {100, 3, 3};
  bool alone = false;
  for (const auto& step : plan_batches(lengths, 2, 10))
    for (const auto& batch : step) alone = alone || batch == std::vector<int>{0};
  EXPECT_TRUE(alone);
}

}  // namespace
}  // namespace switchyard
