// What befalls a job: nodes and ranks that are lost, disks that are slow or hang. It goes on, and gives the same bits.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>

#include "tests/slurm/slurm_fixture.h"

namespace switchyard::test {
namespace {

/// How a node is lost, and which of the job's two: the first runs the batch script.
struct Loss {
  const char *name, *command;
  int node;

  friend void PrintTo(const Loss& loss, std::ostream* out) { *out << loss.command << " node " << loss.node; }
};

class NodeLoss : public SlurmTest, public ::testing::WithParamInterface<Loss> {};

TEST_P(NodeLoss, IsSurvived) {
  const auto [name, command, which] = GetParam();
  if (command == std::string("cut") && !cluster_->has_namespaces()) GTEST_SKIP() << "no network namespaces here";
  const ClusterRun run(*cluster_, root_ / (std::string("lost-") + name));
  const std::string job = run.submit(slow_options());
  ASSERT_TRUE(has_begun(run));
  const std::string nodes =
      cluster_->output_of({"scontrol", "show", "hostnames", cluster_->job_field(job, "NodeList")});
  const size_t end_of_first = nodes.find('\n');
  const std::string node = which == 0 ? nodes.substr(0, end_of_first) : nodes.substr(end_of_first + 1);
  ASSERT_EQ(cluster_->control({command, node}).exit_code, 0) << node;
  // A job may outlive its node's slurmd; what is cut off is lost.
  if (command == std::string("cut")) {
    EXPECT_TRUE(within(60s, [&] { return restarts(job) >= 1; }));
  }
  expect_complete(run);  // on the nodes that are left
  cluster_->control({"heal", node});
  EXPECT_TRUE(within(60s, [&] { return cluster_->control({"status"}).exit_code == 0; }));
}
INSTANTIATE_TEST_SUITE_P(Nodes, NodeLoss,
                         ::testing::Values(Loss{"Cut", "cut", 1}, Loss{"CutWithTheScript", "cut", 0},
                                           Loss{"SlurmdKilled", "kill-slurmd", 1}),
                         [](const auto& p) { return p.param.name; });

class StoppedRank : public SlurmTest, public ::testing::WithParamInterface<int> {};

TEST_P(StoppedRank, IsNamed) {
  constexpr int kTimeout = 8;
  const int rank = GetParam();
  const ClusterRun run(*cluster_, root_ / ("stopped-" + std::to_string(rank)));
  const std::string job = run.submit(slow_options({"--comm-timeout", std::to_string(kTimeout)}));
  ASSERT_TRUE(has_begun(run));
  const int pid = cluster_->rank_pids(job, 4).at(static_cast<size_t>(rank));
  ASSERT_GT(pid, 0);
  const auto stopped = std::chrono::steady_clock::now();
  ::kill(pid, SIGSTOP);
  const std::string end = "attempts/" + job + ".0/end.json";
  ASSERT_TRUE(within(std::chrono::seconds(kTimeout + 10), [&] { return !run.file(end).empty(); }))
      << run.status().dump(2);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - stopped).count();
  RecordProperty("seconds_to_settled", std::to_string(seconds));
  const Json ended = parse_json(run.file(end), "end");
  EXPECT_EQ(ended.at("exit_code"), 76) << ended.dump();
  EXPECT_EQ(ended.at("requeue"), true);
  const auto message = ended.at("message").get<std::string>();
  EXPECT_NE(message.find("rank " + std::to_string(rank) + " on n"), std::string::npos) << message;
  EXPECT_NE(message.find("no sign of life"), std::string::npos) << message;
  expect_complete(run);
}
INSTANTIATE_TEST_SUITE_P(Ranks, StoppedRank, ::testing::Values(0, 3));

TEST_F(SlurmTest, AKilledRankIsReplaced) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(slow_options());
  ASSERT_TRUE(has_begun(run));
  const int pid = cluster_->rank_pids(job, 4).at(0);  // the holder of the lease
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGKILL);
  const std::string end = "attempts/" + job + ".0/end.json";
  ASSERT_TRUE(within(60s, [&] { return !run.file(end).empty(); })) << run.status().dump(2);
  const Json ended = parse_json(run.file(end), "end");
  EXPECT_EQ(ended.at("exit_code"), 75) << ended.dump() << run.file("attempts/" + job + ".0/stderr.log");
  EXPECT_EQ(ended.at("requeue"), true) << ended.dump();
  expect_complete(run);
}

/// A hundred records: with a slow, or hung, disk.
class SlowDisk : public SlurmTest {
 protected:
  std::string submit(const Words& more, const Words& settings) {
    test::write_text_input(root_ / "small.h5", 100, 60);
    Words words = more;
    words.insert(words.end(), {"--input", root_ / "small.h5"});
    words = options(words);
    const Words slow = slow_disk(settings);
    words.insert(words.end(), slow.begin(), slow.end());
    return run_.submit(words);
  }
  void expect_to_complete(std::chrono::seconds timeout) {
    ASSERT_TRUE(within(timeout, [&] { return run_.state() == "complete"; })) << run_.status().dump(2);
    const auto verified = test::run({SWITCHYARD_PROGRAM, "verify", run_.path()});
    EXPECT_EQ(verified.exit_code, 0) << verified.out;
  }
  /// Seconds, from the phase table: "merge  min  average  max".
  static double longest_merge(const std::string& log) {
    const size_t at = log.find("] merge ");
    double least = 0, average = 0, most = 0;
    if (at == std::string::npos || std::sscanf(log.c_str() + at, "] merge %lf %lf %lf", &least, &average, &most) != 3)
      ADD_FAILURE() << "no merge in the phase table:\n" << log;
    return most;
  }
  /// The number behind `words` in the log of the job's first run.
  double number_in_log(const std::string& job, const std::string& words) {
    const std::string log = run_.file("attempts/" + job + ".0/stderr.log");
    const size_t at = log.find(words);
    EXPECT_NE(at, std::string::npos) << log;
    return at == std::string::npos ? 0 : std::atof(log.c_str() + at + words.size());
  }

  ClusterRun run_ = new_run();
};

TEST_F(SlowDisk, ALoadIsNoHang) {
  // Rank 0 reads everything slowly, and it has hundreds of tensors to load.
  const std::string job = submit({"--comm-timeout", "3"}, {"READ_MILLISECONDS=20", "READ_RANK=0"});
  expect_to_complete(60s);
  EXPECT_EQ(restarts(job), 0);
  EXPECT_GT(number_in_log(job, " loaded in "), 3.0) << "the load was too fast to prove anything";
}

TEST_F(SlowDisk, AMergeIsNoHang) {
  // Twenty shards of about thirty reads, and then a sync that lasts more than two timeouts.
  const std::string job = submit(
      {"--comm-timeout", "3", "--chunk-records", "5"},
      {"READ_MILLISECONDS=15", "READ_FILES=/shards/chunk-", "SYNC_MILLISECONDS=7000", "SYNC_FILES=/results.h5.tmp-"});
  expect_to_complete(90s);
  EXPECT_EQ(restarts(job), 0);
  const std::string log = run_.file("attempts/" + job + ".0/stderr.log");
  EXPECT_GT(longest_merge(log), 7.0 + 4.0) << "too fast to prove anything\n" << log;
}

TEST_F(SlowDisk, AMergeThatHangsIsFound) {
  constexpr int kTimeout = 5;
  // The first run of the job only: the disk is well again afterwards.
  const std::string job =
      submit({"--comm-timeout", std::to_string(kTimeout), "--chunk-records", "5"},
             {"READ_FILES=/shards/chunk-000007.h5$", "READ_MILLISECONDS=$((SLURM_RESTART_COUNT > 0 ? 0 : 600000))"});
  ASSERT_TRUE(within(60s, [&] { return run_.state() == "merging"; })) << run_.status().dump(2);
  const std::string end = "attempts/" + job + ".0/end.json";
  ASSERT_TRUE(within(std::chrono::seconds(kTimeout + 10), [&] { return !run_.file(end).empty(); }))
      << run_.status().dump(2);
  const Json ended = parse_json(run_.file(end), "end");
  EXPECT_EQ(ended.at("exit_code"), 76) << ended.dump();
  EXPECT_EQ(ended.at("requeue"), true);
  const auto message = ended.at("message").get<std::string>();
  EXPECT_NE(message.find("rank 0 on n"), std::string::npos) << message;
  EXPECT_NE(message.find("is in merging"), std::string::npos) << message;
  expect_to_complete(60s);
}

}  // namespace
}  // namespace switchyard::test
