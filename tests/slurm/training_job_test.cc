// A training job that is disturbed leaves the bits of one rank that was left in peace.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <optional>

#include "tests/slurm/slurm_fixture.h"
#include "tests/support/train_case.h"

namespace switchyard::test {
namespace {

class TrainingJob : public SlurmTest {
 protected:
  void SetUp() override {
    SlurmTest::SetUp();
    if (!IsSkipped()) case_.emplace(root_);  // where all nodes see it
  }

  ClusterRun run() const { return {*cluster_, *case_ / "run"}; }
  /// On two nodes with two ranks each.
  std::string submit(const Words& more, const Words& disk) const {
    Words words = case_->command("", 0, more);
    words.erase(words.begin());  // the program
    words.erase(std::ranges::find(words, "--run"), std::ranges::find(words, "--run") + 2);
    words.erase(std::ranges::find(words, "--threads"), std::ranges::find(words, "--threads") + 2);
    words.insert(words.end(), {"--nodes", "2", "--tasks-per-node", "2", "--cpus-per-task", "1"});
    words.insert(words.end(), disk.begin(), disk.end());
    return run().submit_job(words);
  }
  int64_t steps() const { return std::ranges::count(run().file("metrics.jsonl"), '\n'); }
  bool comes_to(int64_t step) const {
    return within(60s, [&] { return steps() >= step; });
  }
  std::string node_of(const std::string& job, int which) const {
    const std::string nodes =
        cluster_->output_of({"scontrol", "show", "hostnames", cluster_->job_field(job, "NodeList")});
    const size_t end = nodes.find('\n');
    return which == 0 ? nodes.substr(0, end) : nodes.substr(end + 1);
  }

  std::optional<TrainCase> case_;
};

TEST_F(TrainingJob, PreemptedRequeuedAndWithoutANodeLeavesTheBitsOfOneRank) {
  const Words steps = {"--max-steps", "40", "--save-steps", "1"};
  case_->expect("quiet", 0, {}, steps);
  // Checkpoints are slow to write: steps alone would be over before anything befell them.
  const std::string job = submit(steps, slow_disk({"SYNC_MILLISECONDS=100", "SYNC_FILES=/checkpoints"}));
  ASSERT_TRUE(comes_to(3));
  cluster_->output_of({"sbatch", "--parsable", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null",
                       "--wrap=sleep 1"});
  ASSERT_TRUE(within(60s, [&] { return restarts(job) >= 1; })) << run().status().dump(2);

  const auto goes_on = [&] { return comes_to(this->steps() + 3); };
  ASSERT_TRUE(goes_on());
  const int before = restarts(job);
  cluster_->output_of({"scontrol", "requeue", job});
  ASSERT_TRUE(within(60s, [&] { return restarts(job) > before; }));

  ASSERT_TRUE(goes_on());
  const std::string node = node_of(job, 1);
  ASSERT_EQ(cluster_->control({cluster_->has_namespaces() ? "cut" : "kill-slurmd", node}).exit_code, 0) << node;
  ASSERT_LT(this->steps(), 40) << "the run was too short to be disturbed";
  ASSERT_TRUE(within(120s, [&] { return run().state() == "complete"; })) << run().status().dump(2);
  cluster_->control({"heal", node});
  expect_same_files(case_->files("run"), case_->files("quiet"));
}

TEST_F(TrainingJob, ARankThatStopsInAReductionIsNamed) {
  constexpr int kTimeout = 8, kRank = 2;
  // Groups of one: ranks share nothing but sums.
  const std::string job = submit({"--ep", "1", "--max-steps", "100000", "--save-steps", "100000", "--eval-steps", "0",
                                  "--comm-timeout", std::to_string(kTimeout)},
                                 slow_disk({}));
  ASSERT_TRUE(comes_to(3));
  const int pid = cluster_->rank_pids(job, 4).at(kRank);
  ASSERT_GT(pid, 0);
  // Who waits for the others sleeps (slow_disk.cc).
  ASSERT_TRUE(within(20s, [&] {
    return bytes_of_file("/proc/" + std::to_string(pid) + "/wchan").find("nanosleep") != std::string::npos;
  }));
  ::kill(pid, SIGSTOP);
  const std::string end = "attempts/" + job + ".0/end.json";
  ASSERT_TRUE(within(std::chrono::seconds(kTimeout + 12), [&] { return !run().file(end).empty(); }))
      << run().status().dump(2);
  const Json ended = parse_json(run().file(end), "end");
  EXPECT_EQ(ended.at("exit_code"), 76) << ended.dump();
  EXPECT_EQ(ended.at("requeue"), true);
  const auto message = ended.at("message").get<std::string>();
  EXPECT_NE(message.find("rank " + std::to_string(kRank) + " on n"), std::string::npos) << message;
  EXPECT_NE(message.find("no sign of life"), std::string::npos) << message;
  EXPECT_NE(message.find("training, layer"), std::string::npos) << message;
}

}  // namespace
}  // namespace switchyard::test
