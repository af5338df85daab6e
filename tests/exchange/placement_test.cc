#include "exchange/placement.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace switchyard {
namespace {

TEST(ExpertPlacement, BlocksCoverTheExpertsInOrder) {
  for (int num_experts = 1; num_experts <= 20; ++num_experts)
    for (int num_ranks = 1; num_ranks <= num_experts; ++num_ranks) {
      const ExpertPlacement placement(num_experts, num_ranks);
      int expert = 0;
      for (int rank = 0; rank < num_ranks; ++rank) {
        const int expected = num_experts / num_ranks + (rank < num_experts % num_ranks ? 1 : 0);
        EXPECT_EQ(placement.first(rank), expert);
        EXPECT_EQ(placement.count(rank), expected);
        for (int i = 0; i < expected; ++i) EXPECT_EQ(placement.rank_of(expert++), rank);
      }
      EXPECT_EQ(placement.first(num_ranks), num_experts);
      EXPECT_EQ(expert, num_experts);
    }
}

TEST(ExpertPlacement, RefusesMoreRanksThanExperts) {
  EXPECT_THROW(ExpertPlacement(4, 5), Error);
  EXPECT_THROW(ExpertPlacement(4, 0), Error);
  EXPECT_THROW(ExpertPlacement(4, 2).rank_of(4), Error);
  EXPECT_THROW(ExpertPlacement(4, 2).rank_of(-1), Error);
}

}  // namespace
}  // namespace switchyard
