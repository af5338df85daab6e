// Exactly once: ranks are killed at random, runs resume on other rank counts, and the results are those of a quiet run.
#include <gtest/gtest.h>
#include <signal.h>

#include <random>
#include <set>
#include <thread>

#include "io/file.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::datasets;
using test::ScoreCase;
using namespace std::chrono_literals;

class KilledRuns : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_text_input(directory_ / "input.h5", 400, 300);
    const auto result = test::score(quiet());
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expected_ = datasets(directory_ / "quiet/results.h5");
  }

  ScoreCase at(const std::string& run, int ranks) const {
    return {directory_ / "input.h5",
            directory_ / run,
            ranks,
            {"--dtype", "f32", "--per-token", "--chunk-records", "5", "--lease-timeout", "2", "--term-grace", "4"}};
  }
  ScoreCase quiet() const { return at("quiet", 0); }

  void expect_same_results(const std::string& run) const {
    const auto actual = datasets(directory_ / run / "results.h5");
    for (const auto& [name, bytes] : expected_) EXPECT_TRUE(actual.at(name) == bytes) << name << " differs in " << run;
  }

  test::TemporaryDirectory directory_;
  std::map<std::string, std::string> expected_;
};

TEST_F(KilledRuns, ThirtyRandomKillsLoseNothing) {
  std::mt19937 random(20261124);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const int signals[] = {SIGKILL, SIGTERM, SIGUSR1};
  int kills = 0, finished = 0, attempts = 0, largest_part = 0;
  std::set<int> codes;
  while (kills < 30 || finished < 2) {
    ASSERT_LT(++attempts, 120) << kills << " kills, " << finished << " finished runs";
    const std::string run = "killed-" + std::to_string(finished);
    const int rank_counts[] = {0, 1, 2, 3, 4};
    test::Process process(at(run, rank_counts[below(5)]).command(), test::mpi_environment());
    if (kills < 30 || finished == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200 + below(1500)));
      auto ranks = test::descendants(process.pid(), "switchyard");
      if (ranks.empty() && process.running()) ranks.push_back(process.pid());
      if (!ranks.empty() && process.running() && kills < 30) {
        ::kill(ranks[static_cast<size_t>(below(static_cast<int>(ranks.size())))], signals[below(3)]);
        ++kills;
      }
    }
    const auto result = process.wait(60s);
    codes.insert(result.exit_code);
    ASSERT_TRUE(result.exit_code != 70 && result.exit_code != 66 && result.exit_code != 78 && result.exit_code != 73)
        << result.err;
    if (result.exit_code == 0) {
      expect_same_results(run);
      ++finished;
    } else {
      int shards = 0;
      if (std::filesystem::exists(directory_ / run / "shards"))
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_ / run / "shards"))
          ++shards;
      largest_part = std::max(largest_part, shards);
    }
  }
  EXPECT_GE(kills, 30);
  EXPECT_TRUE(codes.contains(75)) << "no attempt was interrupted in order";
  EXPECT_GT(largest_part, 0) << "every attempt was killed before its first shard: the test proves nothing";
}

TEST_F(KilledRuns, KilledWhileMerging) {
  const auto first = test::score(at("merged", 0));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  std::mt19937 random(7);
  int killed = 0;
  for (int i = 0; i < 12; ++i) {
    std::filesystem::remove(directory_ / "merged/results.h5");
    test::Process process(at("merged", 0).command());
    std::this_thread::sleep_for(std::chrono::milliseconds(250 + random() % 350));
    if (process.running()) ::kill(process.pid(), SIGKILL);
    killed += process.wait(60s).exit_code == 137 ? 1 : 0;
    if (std::filesystem::exists(directory_ / "merged/results.h5")) expect_same_results("merged");
  }
  EXPECT_GT(killed, 0);
  const auto last = test::score(at("merged", 2));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  expect_same_results("merged");
}

TEST_F(KilledRuns, AnOrphanHasNoSay) {
  const auto run = directory_ / "orphan";
  test::Process process(at("orphan", 2).command(), test::mpi_environment());
  while (process.running() && !std::filesystem::exists(run / "shards/chunk-000002.h5"))
    std::this_thread::sleep_for(5ms);
  const std::string lease =
      R"({"job":"18","restart":0,"host":"n9","boot_id":"b","pid":1,"pid_start":2,"nonce":"00","renewal":3})";
  write_file_atomically(run / "lease.json", lease);  // of a successor, on another node
  const std::string state = test::bytes_of_file(run / "state.json");
  const auto ranks = test::descendants(process.pid(), "switchyard");
  if (!ranks.empty()) ::kill(ranks[0], SIGTERM);
  const auto result = process.wait(30s);
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_NE(result.err.find("taken over by job 18"), std::string::npos) << result.err;
  EXPECT_EQ(test::bytes_of_file(run / "state.json"), state);
  EXPECT_EQ(test::bytes_of_file(run / "lease.json"), lease);
}

TEST_F(KilledRuns, TermOnOneRankStopsAllInOrder) {
  test::Process process(at("term", 3).command(), test::mpi_environment());
  std::vector<pid_t> ranks;
  while (process.running() && !std::filesystem::exists(directory_ / "term/shards/chunk-000002.h5"))
    std::this_thread::sleep_for(5ms);
  ranks = test::descendants(process.pid(), "switchyard");
  ASSERT_EQ(ranks.size(), 3u) << process.wait(1s).err;
  ::kill(ranks[1], SIGTERM);
  const auto result = process.wait(30s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_NE(result.err.find("run the same command again"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace switchyard
