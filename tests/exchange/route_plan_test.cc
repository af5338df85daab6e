#include "exchange/route_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/placements.h"

namespace switchyard {
namespace {

ConstView matrix(const std::vector<int32_t>& values, int64_t top_k) {
  return {values.data(), {std::ssize(values) / top_k, top_k}, DType::i32};
}

TEST(RoutePlan, OfAHandfulOfTokens) {
  // 5 experts on 2 ranks: 0 1 2 | 3 4.
  const std::vector<int32_t> expert_of{0, 3,   // token 0: one here, one there
                                       4, 3,   // token 1: two there, sent once
                                       2, 0};  // token 2: all here
  const RoutePlan plan = plan_routes(matrix(expert_of, 2), ExpertPlacement::blocks(5, 2), 0);
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 0, 2}));
  EXPECT_EQ(plan.tokens, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(plan.local.offsets, (std::vector<int64_t>{0, 2, 2, 3}));
  EXPECT_EQ(plan.local.input_row, (std::vector<int32_t>{0, 2, 2}));
  EXPECT_EQ(plan.local.output_row, (std::vector<int32_t>{0, 5, 4}));
  EXPECT_EQ(plan.tokens_per_expert, (std::vector<int64_t>{2, 0, 1, 2, 1}));
}

TEST(RoutePlan, EveryAssignmentHasItsPlace) {
  constexpr int kExperts = 13, kTopK = 5, kTokens = 50;
  std::vector<int32_t> expert_of;
  for (int t = 0; t < kTokens; ++t)
    for (int j = 0; j < kTopK; ++j)
      expert_of.push_back((t * 7 + j * (1 + t % 12)) % kExperts);  // 13 is prime: distinct
  for (const int num_ranks : {1, 2, 3, 4, 7, 13})
    for (const auto& [name, make] : test::all_placements()) {
      SCOPED_TRACE(name);
      const ExpertPlacement placement = make(kExperts, num_ranks);
      for (int rank = 0; rank < num_ranks; ++rank) {
        const RoutePlan plan = plan_routes(matrix(expert_of, kTopK), placement, rank);
        std::vector<std::set<int32_t>> tokens_for(static_cast<size_t>(num_ranks));
        std::vector<std::vector<int32_t>> outputs_of(static_cast<size_t>(placement.count(rank)));
        for (int32_t i = 0; i < kTokens * kTopK; ++i) {
          const int expert = expert_of[static_cast<size_t>(i)], host = placement.rank_of(expert);
          if (host != rank) {
            tokens_for[static_cast<size_t>(host)].insert(i / kTopK);
          } else {
            outputs_of[static_cast<size_t>(placement.local_index(expert))].push_back(i);
          }
        }
        for (int to = 0; to < num_ranks; ++to) {
          const auto& expected = tokens_for[static_cast<size_t>(to)];
          const auto tokens = plan.tokens_to(to, 0, kTokens);
          EXPECT_TRUE(std::ranges::equal(tokens, expected)) << "rank " << rank << " to " << to;
        }
        for (size_t g = 0; g < outputs_of.size(); ++g) {
          const auto begin = plan.local.output_row.begin();
          EXPECT_EQ(std::vector(begin + plan.local.offsets[g], begin + plan.local.offsets[g + 1]), outputs_of[g]);
        }
        for (size_t i = 0; i < plan.local.input_row.size(); ++i)
          EXPECT_EQ(plan.local.input_row[i], plan.local.output_row[i] / kTopK);
      }
    }
}

TEST(RoutePlan, PiecesOfARanksTokens) {
  const std::vector<int32_t> expert_of{1, 1, 0, 1, 1};
  const RoutePlan plan = plan_routes(matrix(expert_of, 1), ExpertPlacement::blocks(2, 2), 0);
  const auto piece = [&](int64_t first, int64_t count) {
    const auto tokens = plan.tokens_to(1, first, count);
    return std::vector<int32_t>(tokens.begin(), tokens.end());
  };
  EXPECT_EQ(piece(0, 3), (std::vector<int32_t>{0, 1, 3}));
  EXPECT_EQ(piece(3, 3), (std::vector<int32_t>{4}));
  EXPECT_EQ(piece(6, 3), (std::vector<int32_t>{}));
  EXPECT_TRUE(plan.tokens_to(0, 0, 3).empty());
}

TEST(RoutePlan, RefusesExpertsThatDoNotExistOrRepeat) {
  const ExpertPlacement placement = ExpertPlacement::blocks(4, 2);
  EXPECT_THROW(plan_routes(matrix({0, 4}, 2), placement, 0), Error);
  EXPECT_THROW(plan_routes(matrix({0, -1}, 2), placement, 0), Error);
  EXPECT_THROW(plan_routes(matrix({3, 3}, 2), placement, 0), Error);
}

}  // namespace
}  // namespace switchyard
