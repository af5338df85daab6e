// What is planted is found where it belongs: a late rank in the others' waiting, a slow one in load balance.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "io/file.h"
#include "jobs/scale/pop.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

using std::chrono::milliseconds;

constexpr double kTolerance = 0.2;  // of what was planted

/// Two ranks that share all experts, for some three seconds.
class PlantedFaultsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    write_text_input(*directory_ / "input.h5", 4500, 400);
    Process quiet(command("quiet"), mpi_environment());
    ASSERT_EQ(quiet.wait().exit_code, 0);
    quiet_ = record("quiet");
    ASSERT_GT(quiet_.work(), 1);
  }
  static void TearDownTestSuite() { delete directory_; }

  static std::vector<std::string> command(const std::string& run, const std::string& sample_tokens = "0") {
    return ScoreCase{*directory_ / "input.h5",
                     *directory_ / run,
                     2,
                     {"--dtype", "f32", "--ep", "2", "--chunk-records", "500", "--sample-tokens", sample_tokens}}
        .command();
  }
  static PointRecord record(const std::string& run) { return read_point_record(RunDirectory(*directory_ / run)); }
  static double most_unexplained(const PointRecord& found) {
    double most = 0;
    for (const RankTimes& rank : found.ranks) most = std::max(most, std::abs(rank.other()) / rank.work);
    return most;
  }

  inline static TemporaryDirectory* directory_ = nullptr;
  inline static PointRecord quiet_;
};

TEST_F(PlantedFaultsTest, WhatIsMeasuredIsTheRanksTime) {
  EXPECT_LT(most_unexplained(quiet_), 0.01);
}

TEST_F(PlantedFaultsTest, ALateRankIsWaitedFor) {
  constexpr double kPlanted = 3;
  std::map<std::string, std::string> environment = mpi_environment();
  environment.insert({{"LD_PRELOAD", SWITCHYARD_SLOW_DISK},
                      {"SLOW_READ_MILLISECONDS", "3000"},
                      {"SLOW_READ_RANK", "1"},
                      {"SLOW_READ_AFTER", "model.safetensors"},
                      {"SLOW_READ_FILES", "input.h5"},
                      {"SLOW_READ_ONCE", "1"}});
  Process process(command("late"), environment);
  ASSERT_EQ(process.wait().exit_code, 0);
  const PointRecord late = record("late");
  EXPECT_NEAR(late.ranks[0].wait - quiet_.ranks[0].wait, kPlanted, kTolerance * kPlanted);
  EXPECT_NEAR(late.ranks[1].overhead - quiet_.ranks[1].overhead, kPlanted, kTolerance * kPlanted);
  EXPECT_NEAR(late.ranks[0].transfer, quiet_.ranks[0].transfer, kTolerance * kPlanted);
  EXPECT_LT(most_unexplained(late), 0.01);
}

/// Stopped for most of the time: it computes five times as long as it would.
TEST_F(PlantedFaultsTest, ASlowRankIsLoadImbalance) {
  Process process(command("slow", "300000"), mpi_environment());
  std::vector<pid_t> ranks;
  const auto has = [&](const char* file) { return std::filesystem::exists(*directory_ / "slow" / file); };
  while (!has("shards/chunk-000000.h5") && process.running()) std::this_thread::sleep_for(milliseconds(2));
  for (const pid_t pid : descendants(process.pid(), "switchyard")) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
    const std::string environment(std::istreambuf_iterator<char>(file), {});
    if (environment.find(std::string("PMIX_RANK=1") + '\0') != std::string::npos) ranks.push_back(pid);
  }
  ASSERT_EQ(ranks.size(), 1U);
  double planted = 0;
  while (!has("results.h5") && process.running()) {
    const auto begin = std::chrono::steady_clock::now();
    ::kill(ranks.front(), SIGSTOP);
    std::this_thread::sleep_for(milliseconds(24));
    ::kill(ranks.front(), SIGCONT);
    planted += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::this_thread::sleep_for(milliseconds(6));
  }
  ASSERT_EQ(process.wait().exit_code, 0);
  const PointRecord slow = record("slow");
  ASSERT_GT(planted, 1);
  // Beside the other rank in the same run, which has as much to do: from run to run cores differ by more.
  EXPECT_NEAR(slow.ranks[1].useful - slow.ranks[0].useful, planted, kTolerance * planted);
  EXPECT_LT(pop_factors(slow).load_balance, pop_factors(quiet_).load_balance - 0.08);
  const std::vector<std::string> notes = scaling_advice(slow, quiet_);
  EXPECT_TRUE(std::ranges::any_of(notes, [](const std::string& note) {
    return note.find("rank 1 on") != note.npos && note.find("not because it has more to do") != note.npos;
  })) << notes.front();
}

}  // namespace
}  // namespace switchyard::test
