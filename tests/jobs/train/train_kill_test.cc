// Training through kills: ranks are killed at random, runs resume on other rank counts, and every file is that of an
// undisturbed run on one rank. SWITCHYARD_TEST_KILLS: how many kills.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "tests/support/train_case.h"

namespace switchyard {
namespace {

using test::TrainCase;
using namespace std::chrono_literals;

class KilledTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    case_.expect("quiet", 0, {}, steps());
    expected_ = case_.files("quiet");
    ASSERT_TRUE(expected_.contains("model/model.safetensors"));
  }
  /// Long enough to be hit on the way.
  static std::vector<std::string> steps() { return {"--max-steps", "60"}; }
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  bool is_writing_a_checkpoint(const std::string& run) const {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(case_ / run / "checkpoints", error), end; !error && entry != end;
         entry.increment(error))
      if (entry->path().native().find(".tmp") != std::string::npos) return true;
    return false;
  }

  const TrainCase case_;
  std::map<std::string, std::string> expected_;
  std::mt19937 random_{20261127};
};

TEST_F(KilledTraining, EveryFileIsThatOfAQuietRun) {
  const char* wanted_kills = std::getenv("SWITCHYARD_TEST_KILLS");
  const int wanted = wanted_kills != nullptr ? std::atoi(wanted_kills) : 6;
  const int signals[] = {SIGKILL, SIGTERM, SIGUSR1};
  int kills = 0, finished = 0, in_a_checkpoint = 0, resumed = 0;
  for (int attempts = 0; kills < wanted || finished < 1; ++attempts) {
    ASSERT_LT(attempts, 4 * wanted + 20) << kills << " kills, " << finished << " finished runs";
    const std::string run = "killed-" + std::to_string(finished);
    test::Process process(case_.command(run, below(5), steps()), test::mpi_environment());
    if (kills < wanted) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(400 + below(900));
      const bool in_checkpoint = kills % 2 == 1;
      while (process.running() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(2ms);
      for (int i = 0; in_checkpoint && process.running() && !is_writing_a_checkpoint(run) && i < 5000; ++i)
        std::this_thread::sleep_for(100us);
      auto ranks = test::descendants(process.pid(), "switchyard");
      if (ranks.empty() && process.running()) ranks.push_back(process.pid());
      if (!ranks.empty() && process.running()) {
        in_a_checkpoint += is_writing_a_checkpoint(run) ? 1 : 0;
        ::kill(ranks[static_cast<size_t>(below(static_cast<int>(ranks.size())))], signals[kills % 3]);
        ++kills;
      }
    }
    const auto result = process.wait(60s);
    ASSERT_TRUE(result.exit_code != 70 && result.exit_code != 66 && result.exit_code != 78 && result.exit_code != 73)
        << result.err;
    resumed += result.err.find("resuming:") != std::string::npos ? 1 : 0;
    if (result.exit_code != 0) continue;
    test::expect_same_files(case_.files(run), expected_);
    ++finished;
  }
  EXPECT_GT(resumed, 0) << "no attempt went on from a checkpoint: the test proves nothing";
  RecordProperty("kills", kills);
  RecordProperty("in_a_checkpoint", in_a_checkpoint);
}

/// Told to stop after some steps of which no checkpoint holds any.
test::ProcessResult told(const TrainCase& c, const std::string& run, const std::vector<std::string>& steps, int signal,
                         int seconds_to_end) {
  auto environment = test::mpi_environment();
  environment["SLURM_JOB_END_TIME"] = std::to_string(std::time(nullptr) + seconds_to_end);
  test::Process process(c.command(run, 0, steps), environment);
  const auto lines = [&] {
    std::ifstream file(c / run / "metrics.jsonl");
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  };
  while (process.running() && lines() < 3) std::this_thread::sleep_for(1ms);
  ::kill(process.pid(), signal);
  return process.wait(60s);
}

TEST(TrainingToldToStop, SavesWhatStillFitsAndSaysWhatIsLost) {
  const TrainCase c;
  const std::vector<std::string> steps = {"--max-steps", "300", "--save-steps", "0", "--eval-steps", "0"};
  c.expect("quiet", 0, {}, steps);
  const auto expect = [&](const test::ProcessResult& result, int code, const std::string& named) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(named), std::string::npos) << named << ": " << result.err;
  };
  expect(told(c, "saved", steps, SIGTERM, 600), 75, "run the same command again");
  EXPECT_NE(c.expect("saved", 0, {"resuming: "}, steps).err.find(" of 300 steps"), std::string::npos);
  expect(told(c, "fits", steps, SIGUSR1, 600), 0, "300 steps, ");
  expect(told(c, "lost", steps, SIGUSR1, 5), 75, "are lost: a checkpoint takes about");
  EXPECT_EQ(c.expect("lost", 0, {}, steps).err.find("resuming: "), std::string::npos);
  for (const char* run : {"saved", "fits", "lost"}) test::expect_same_files(c.files(run), c.files("quiet"));
}

// Of a run that would use up its time before it knew how long a checkpoint takes.
TEST(TrainingToldToStop, LeavesTimeForItsFirstCheckpoint) {
  const TrainCase c;
  const test::ProcessResult result =
      told(c, "close", {"--max-steps", "50000", "--save-steps", "0", "--eval-steps", "0"}, SIGUSR1, 13);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_EQ(result.err.find("are lost"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::is_empty(c / "close/checkpoints"));
}

}  // namespace
}  // namespace switchyard
