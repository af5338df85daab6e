// What a point's numbers are said to mean, on made-up ones.
#include "jobs/scale/pop.h"

#include <gtest/gtest.h>

#include "io/json.h"
#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::fails_input;

/// Four ranks of four experts each that have done all alike, for ten seconds.
PointRecord even() {
  PointRecord record{.job = "score", .ep = 4, .threads = 1};
  record.tokens_per_expert = {std::vector<int64_t>(16, 100), std::vector<int64_t>(16, 100)};
  for (int r = 0; r < 4; ++r)
    record.ranks.push_back({.host = "n" + std::to_string(r),
                            .cores = "0",
                            .load = 1,
                            .work = 10,
                            .finish = 0.5,
                            .useful = 9.6,
                            .wait = 0.1,
                            .transfer = 0.2,
                            .overhead = 0.1,
                            .tokens = 800});
  return record;
}

bool says(const std::vector<std::string>& notes, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(notes, [&](const std::string& note) {
    return std::ranges::all_of(parts, [&](std::string_view part) { return note.find(part) != note.npos; });
  });
}

TEST(Pop, FactorsOfAnEvenPoint) {
  const PopFactors pop = pop_factors(even());
  EXPECT_DOUBLE_EQ(pop.load_balance, 1);
  EXPECT_DOUBLE_EQ(pop.communication_efficiency, 0.96);
  EXPECT_DOUBLE_EQ(pop.parallel_efficiency(), 0.96);
  EXPECT_NEAR(pop.useful + pop.wait + pop.transfer + pop.overhead + pop.other, 1, 1e-12);
  EXPECT_NEAR(pop.other, 0, 1e-12);
  EXPECT_TRUE(says(scaling_advice(even(), even()), {"nothing holds it back", "0.96"}));
}

/// POP's own example: two ranks, one of which computes half as long.
TEST(Pop, LoadBalanceIsMeanOverLargest) {
  PointRecord record = even();
  record.ranks.resize(2);
  record.ranks[0].useful = 10;
  record.ranks[1].useful = 5;
  record.ranks[1].wait = 5;
  const PopFactors pop = pop_factors(record);
  EXPECT_DOUBLE_EQ(pop.load_balance, 0.75);
  EXPECT_DOUBLE_EQ(pop.communication_efficiency, 1);
}

TEST(Pop, ASlowRankIsToldFromOneWithHotExperts) {
  PointRecord slow = even();
  for (int r = 0; r < 4; ++r) slow.ranks[static_cast<size_t>(r)].useful = r == 2 ? 9.6 : 6.4;
  for (int r = 0; r < 4; ++r) slow.ranks[static_cast<size_t>(r)].wait = r == 2 ? 0.1 : 3.3;
  EXPECT_TRUE(says(scaling_advice(slow, even()), {"rank 2 on n2", "not because it has more to do"}));

  PointRecord hot = slow;  // the same times, explained
  hot.tokens_per_expert[1][9] = 1000;
  hot.tokens_per_expert[1][10] = 300;
  const auto notes = scaling_advice(hot, even());
  EXPECT_TRUE(says(notes, {"waits for rank 2", "expert 9 of layer 1", "expert 10 of layer 1"})) << notes.front();
}

TEST(Pop, ARankWithMoreTokensIsNotCalledSlow) {
  PointRecord record = even();
  record.ep = 1;  // groups of their own
  record.ranks[0].tokens = 1600;
  for (size_t r = 1; r < 4; ++r) record.ranks[r].useful = 4.8, record.ranks[r].wait = 4.9;
  const auto notes = scaling_advice(record, even());
  EXPECT_TRUE(says(notes, {"rank 0 on n0", "more to compute than the mean", "more chunks"})) << notes.front();
}

TEST(Pop, GroupsWithoutWorkAreNamedAndNoExpertsAreBlamed) {
  PointRecord record = even();
  record.ep = 2;
  for (size_t r : {2, 3}) record.ranks[r].useful = 0, record.ranks[r].wait = 9.7, record.ranks[r].tokens = 0;
  auto notes = scaling_advice(record, even());
  EXPECT_TRUE(says(notes, {"ranks 2, 3 had nothing to compute", "--chunk-records"})) << notes.front();
  EXPECT_FALSE(says(notes, {"expert"})) << notes.front();

  for (size_t r : {2, 3}) record.ranks[r].useful = 6, record.ranks[r].wait = 3.7, record.ranks[r].tokens = 500;
  notes = scaling_advice(record, even());
  EXPECT_TRUE(says(notes, {"the group of rank 0", "23 % more tokens"})) << notes.front();
  record.job = "train";
  record.tokens_per_expert[0][3] = 900;  // and beside that of rank 0
  record.ranks[1].useful = 7.8;
  notes = scaling_advice(record, even());
  EXPECT_TRUE(says(notes, {"the group of rank 0", "--step-records"})) << notes.front();
  EXPECT_TRUE(says(notes, {"waits for rank 0", "expert 3 of layer 0", "of its group"})) << notes.front();
}

TEST(Pop, TransferOverheadAndSharedCoresAreNamed) {
  PointRecord link = even();
  for (RankTimes& rank : link.ranks) rank.useful = 5, rank.transfer = 4.8;
  EXPECT_TRUE(says(scaling_advice(link, even()), {"48 %", "rows under way", "faster network"}));
  PointRecord disk = even();
  for (RankTimes& rank : disk.ranks) rank.useful = 5, rank.overhead = 4.7;
  EXPECT_TRUE(says(scaling_advice(disk, even()), {"47 %", "reading and writing"}));
  PointRecord crowded = even();
  for (RankTimes& rank : crowded.ranks) rank.host = "n0";
  EXPECT_TRUE(crowded.shares_cores());
  EXPECT_TRUE(says(scaling_advice(crowded, even()), {"ranks share cores", "no measure"}));
  EXPECT_FALSE(even().shares_cores());
}

TEST(Pop, RoutingShares) {
  PointRecord record = even();
  record.tokens_per_expert[0] = std::vector<int64_t>(16, 0);  // a dense layer
  record.tokens_per_expert[1][5] = 1700;                      // of rank 1
  const RoutingShares routing = routing_shares(record);
  EXPECT_EQ(routing.experts_per_rank, 4);
  EXPECT_DOUBLE_EQ(routing.tokens_per_expert, 200);
  EXPECT_DOUBLE_EQ(routing.expert_imbalance, 8.5);
  EXPECT_EQ(routing.worst_layer, 1);
  EXPECT_DOUBLE_EQ(routing.layer_imbalance[0], 1);
  EXPECT_DOUBLE_EQ(routing.layer_imbalance[1], 4 * 2000.0 / 3200);
  EXPECT_DOUBLE_EQ(routing.expected_remote, 0.75);
  const auto hot = hottest_experts(record, 1, 1);
  EXPECT_EQ(hot.front().expert, 5);
  EXPECT_DOUBLE_EQ(hot.front().times_mean, 8.5);
}

TEST(PointRecord, CollectivesBeyondTheLeastAreWaiting) {
  const Json rank = {{"host", "n1"},
                     {"cores", "0,1"},
                     {"cpu", "a CPU"},
                     {"memory_bytes", 5},
                     {"tokens", 7},
                     {"assignments", 28},
                     {"remote_assignments", 14},
                     {"load", 1.0},
                     {"work", 9.0},
                     {"finish", 0.5},
                     {"useful", 6.0},
                     {"exchange_wait", 0.5},
                     {"waiting", 0.25},
                     {"exchange_transfer", 1.0},
                     {"collectives", 0.75},
                     {"overhead", 0.25},
                     {"bytes_to", {0, 3}},
                     {"layers", {{3.0, 0.5, 1.0}}}};
  Json second = rank;
  second["collectives"] = 0.25;
  Json record = {{"job", "train"},
                 {"git_revision", "r"},
                 {"mpi", "m"},
                 {"device", "cpu"},
                 {"exchange", "MPI"},
                 {"numerics", "n"},
                 {"ep", 2},
                 {"threads", 1},
                 {"tokens_per_expert", {{1, 2}}},
                 {"ranks", {rank, second}}};
  const PointRecord parsed = parse_point_record(record, "ranks.json");
  EXPECT_DOUBLE_EQ(parsed.ranks[0].wait, 1.25);
  EXPECT_DOUBLE_EQ(parsed.ranks[0].transfer, 1.25);
  EXPECT_DOUBLE_EQ(parsed.ranks[1].wait, 0.75);
  EXPECT_DOUBLE_EQ(parsed.ranks[0].other(), 9 - 6 - 1.25 - 1.25 - 0.25);
  EXPECT_DOUBLE_EQ(parsed.total(), 10.5);
  EXPECT_EQ(parsed.tokens(), 14);
  EXPECT_TRUE(std::isnan(parsed.predicted_transfer));
  record["predicted"] = {{"work", 8.0}, {"seconds", 9.0}, {"exchange_share", 0.25}};
  EXPECT_DOUBLE_EQ(parse_point_record(record, "ranks.json").predicted_transfer, 2);
  record["ep"] = 3;
  EXPECT_TRUE(fails_input({"ranks.json", "2 ranks in groups of 3"}, [&] { parse_point_record(record, "ranks.json"); }));
  record["ep"] = "two";
  EXPECT_TRUE(fails_input({"ranks.json", "\"ep\"", "two"}, [&] { parse_point_record(record, "ranks.json"); }));
  record.erase("ep");
  EXPECT_TRUE(fails_input({"ranks.json", "\"ep\"", "found none"}, [&] { parse_point_record(record, "ranks.json"); }));
}

}  // namespace
}  // namespace switchyard
