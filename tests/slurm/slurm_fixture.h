// Jobs on a cluster of four nodes, and the run that they are compared with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/slurm/cluster.h"
#include "tests/support/score_case.h"

namespace switchyard::test {

using namespace std::chrono_literals;

/// One cluster and one undisturbed run for all tests.
class Ground : public ::testing::Environment {
 public:
  void SetUp() override {
    cluster = std::make_unique<Cluster>();
    if (!cluster->problem().empty()) return;
    root = std::filesystem::path(SWITCHYARD_SLURM_RUNS) / test_part();
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root);
    write_text_input(root / "input.h5", 6000, 60);
    const auto result =
        test::score({root / "input.h5", root / "quiet", 0, {"--dtype", "f32", "--chunk-records", "120"}});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expected = datasets(root / "quiet/results.h5");
  }
  void TearDown() override { cluster.reset(); }

  static inline std::filesystem::path root;
  static inline std::unique_ptr<Cluster> cluster;
  static inline std::map<std::string, std::string> expected;
};
[[maybe_unused]] inline const auto* const ground = ::testing::AddGlobalTestEnvironment(new Ground);

class SlurmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cluster_->problem().empty()) GTEST_SKIP() << cluster_->problem();
  }
  void TearDown() override {
    if (cluster_->problem().empty()) cluster_->exec({"scancel", "--user", "root"});
  }

  ClusterRun new_run() const {
    return {*cluster_, root_ / ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  }
  /// What slow_disk.cc is told: {"READ_RANK=0", …}
  static Words slow_disk(const Words& settings) {
    Words words = {"--setup", std::string("export LD_PRELOAD=") + SWITCHYARD_SLOW_DISK};
    for (const std::string& setting : settings) words.insert(words.end(), {"--setup", "export SLOW_" + setting});
    return words;
  }
  /// Slow reads make a run last without much computing: about 20 s at 5 ms.
  static Words slow_reads(int milliseconds) { return slow_disk({"READ_MILLISECONDS=" + std::to_string(milliseconds)}); }
  static Words slow_options(const Words& more = {}) {
    Words words = options(more);
    const Words slow = slow_reads(5);
    words.insert(words.end(), slow.begin(), slow.end());
    return words;
  }
  /// What all jobs here have in common; `more` comes behind.
  static Words options(const Words& more = {}) {
    Words words = {"--dtype", "f32", "--cpus-per-task", "1", "--term-grace", "4"};
    words.insert(words.end(), more.begin(), more.end());
    const auto add = [&](const std::string& name, const std::string& value) {
      if (std::ranges::find(more, name) == more.end()) words.insert(words.end(), {name, value});
    };
    add("--input", root_ / "input.h5");
    add("--chunk-records", "120");
    add("--nodes", "2");
    add("--tasks-per-node", "2");
    add("--ep", "4");
    return words;
  }
  static bool has_begun(const ClusterRun& run, int shards = 3) {
    return within(60s, [&] { return run.shards() >= shards; });
  }
  static void expect_complete(const ClusterRun& run, std::chrono::seconds timeout = 150s) {
    ASSERT_TRUE(within(timeout, [&] { return run.state() == "complete"; })) << run.status().dump(2);
    const auto actual = datasets(run.path() / "results.h5");
    for (const auto& [name, bytes] : expected_) EXPECT_TRUE(actual.at(name) == bytes) << name;
    const auto verified = test::run({SWITCHYARD_PROGRAM, "verify", run.path()});
    EXPECT_EQ(verified.exit_code, 0) << verified.out;
  }
  static int restarts(const std::string& job) { return std::atoi(cluster_->job_field(job, "Restarts").c_str()); }

  static inline const std::unique_ptr<Cluster>& cluster_ = Ground::cluster;
  static inline const std::filesystem::path& root_ = Ground::root;
  static inline const std::map<std::string, std::string>& expected_ = Ground::expected;
};

}  // namespace switchyard::test
