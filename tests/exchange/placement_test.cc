#include "exchange/placement.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

std::vector<int> experts_of(const ExpertPlacement& placement, int rank) {
  const auto experts = placement.experts_of(rank);
  return {experts.begin(), experts.end()};
}

TEST(ExpertPlacement, BlocksCoverTheExpertsInOrder) {
  for (int num_experts = 1; num_experts <= 20; ++num_experts)
    for (int num_ranks = 1; num_ranks <= num_experts; ++num_ranks) {
      const ExpertPlacement placement = ExpertPlacement::blocks(num_experts, num_ranks);
      int expert = 0;
      for (int rank = 0; rank < num_ranks; ++rank) {
        const int expected = num_experts / num_ranks + (rank < num_experts % num_ranks ? 1 : 0);
        ASSERT_EQ(placement.count(rank), expected);
        for (int i = 0; i < expected; ++i, ++expert) {
          EXPECT_EQ(placement.experts_of(rank)[static_cast<size_t>(i)], expert);
          EXPECT_EQ(placement.rank_of(expert), rank);
          EXPECT_EQ(placement.local_index(expert), i);
        }
      }
      EXPECT_EQ(expert, num_experts);
      EXPECT_EQ(placement.max_count(), placement.count(0));
      EXPECT_EQ(placement.num_experts(), num_experts);
      EXPECT_EQ(placement.num_ranks(), num_ranks);
    }
}

TEST(ExpertPlacement, IsATableInAnyOrder) {
  const ExpertPlacement placement(std::vector<int>{2, 0, 2, 1, 2, 0}, 3);
  EXPECT_EQ(experts_of(placement, 0), (std::vector<int>{1, 5}));
  EXPECT_EQ(experts_of(placement, 1), (std::vector<int>{3}));
  EXPECT_EQ(experts_of(placement, 2), (std::vector<int>{0, 2, 4}));
  EXPECT_EQ(placement.rank_of(4), 2);
  EXPECT_EQ(placement.local_index(4), 2);
  EXPECT_EQ(placement.local_index(5), 1);
  EXPECT_EQ(placement.count(1), 1);
  EXPECT_EQ(placement.max_count(), 3);
}

TEST(ExpertPlacement, RefusesMoreRanksThanExperts) {
  for (const int num_ranks : {5, 0, -1})
    EXPECT_TRUE(test::fails(ExitCode::usage, {"expected 1 to 4"}, [&] { ExpertPlacement::blocks(4, num_ranks); }));
  const ExpertPlacement placement = ExpertPlacement::blocks(4, 2);
  EXPECT_THROW(placement.rank_of(4), Error);
  EXPECT_THROW(placement.rank_of(-1), Error);
  EXPECT_THROW(placement.local_index(4), Error);
  EXPECT_THROW(placement.experts_of(2), Error);
}

TEST(ExpertPlacement, RefusesTablesByName) {
  const auto make = [](const std::vector<int>& rank_of, int num_ranks) {
    return [=] { ExpertPlacement(rank_of, num_ranks); };
  };
  EXPECT_TRUE(test::fails(ExitCode::usage, {"expert 2", "rank 2", "0 to 1"}, make({0, 1, 2}, 2)));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"expert 0", "rank -1"}, make({-1, 0}, 1)));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"rank 1 hosts none of 3 experts"}, make({0, 2, 0}, 3)));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"an expert group of 1 ranks"}, make({}, 1)));
}

}  // namespace
}  // namespace switchyard
