#include "jobs/score/summary.h"

#include <gtest/gtest.h>

#include "tests/support/environment.h"

namespace switchyard {
namespace {

RunSummary an_hour_on(int nodes) {
  RunSummary summary;
  summary.phases.resize(2);
  summary.phases[0] = {.exchange_wait = 300, .agree = 60, .wait = 0, .total = 3600};
  summary.phases[1] = {.exchange_wait = 100, .agree = 20, .wait = 240, .total = 3590};
  summary.rank_tokens = {10, 10};
  summary.expert_rows = {1, 1};
  summary.usage.nodes = nodes;
  summary.usage.peak_memory = uint64_t{3} << 30;
  return summary;
}

TEST(Summary, SaysWhatTheAttemptTook) {
  RunSummary summary = an_hour_on(4);
  EXPECT_EQ(usage_lines(summary),
            (std::vector<std::string>{"this attempt: 01:00:00 elapsed, of it 06:00 waiting for "
                                      "other ranks; 4.00 node-hours on 4 nodes",
                                      "memory: at most 3.00 GiB in a rank", "the run: 1 attempt in 01:00:00"}));
  summary.usage.attempts = 3;
  summary.usage.run_seconds = 4 * 3600;
  summary.usage.lost = {.items = 12, .units = 2};
  const std::vector<std::string> lines = usage_lines(summary);
  EXPECT_EQ(lines.at(2), "the run: 3 attempts in 04:00:00");
  EXPECT_NE(lines.at(3).find("12 records of 2 chunks"), std::string::npos);
  const Json json = summary_json(summary);
  EXPECT_EQ(json["elapsed_seconds"], 3600);
  EXPECT_EQ(json["waiting_seconds"], 360);
  EXPECT_EQ(json["node_hours"], 4);
  EXPECT_EQ(json["peak_memory_bytes"], uint64_t{3} << 30);
  EXPECT_EQ(json["attempts"], 3);
  EXPECT_EQ(json["run_seconds"], 4 * 3600);
  EXPECT_EQ(json["lost_records"], 12);
  EXPECT_EQ(json["records"], 0);
  summary.joined = true;
  EXPECT_EQ(summary_json(summary)["documents"], 0);
  EXPECT_FALSE(summary_json(summary).contains("records"));
}

TEST(Summary, NodesAreTheJobsOrThoseWithRanks) {
  const auto nodes = [] {
    int found = 0;
    run_thread_ranks(3, [&](Communicator& world) {
      const RunSummary summary = gather_summary(world, {}, 0, {0}, {0, 10, 20 + world.rank()});
      EXPECT_EQ(summary.bytes_sent, (std::vector<int64_t>{0, 10, 20, 0, 10, 21, 0, 10, 22}));
      if (world.rank() == 0) found = summary.usage.nodes;
      EXPECT_GT(summary.usage.peak_memory, uint64_t{1} << 20);
    });
    return found;
  };
  const test::Variable none("SLURM_JOB_NUM_NODES", ""), neither("SLURM_NNODES", "");
  EXPECT_EQ(nodes(), 1);
  const test::Variable old("SLURM_NNODES", "3");
  EXPECT_EQ(nodes(), 3);
  const test::Variable job("SLURM_JOB_NUM_NODES", "5");
  EXPECT_EQ(nodes(), 5);
}

}  // namespace
}  // namespace switchyard
