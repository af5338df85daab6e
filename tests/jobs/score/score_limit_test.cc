// Before the time limit (SIGUSR1) a run does what fits, and says how far it has come within a chunk.
#include <gtest/gtest.h>
#include <signal.h>

#include <ctime>
#include <memory>
#include <thread>

#include "run/run_directory.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::ScoreCase;
using namespace std::chrono_literals;

class TimeLimit : public ::testing::Test {
 protected:
  ScoreCase case_of(int num_records, int max_length, const std::string& chunk_records) const {
    test::write_text_input(directory_ / "input.h5", num_records, max_length);
    return {directory_ / "input.h5",
            run_.root(),
            0,
            {"--dtype", "f32", "--chunk-records", chunk_records, "--term-grace", "2"}};
  }
  /// Starts a run whose job ends in `seconds`.
  static std::unique_ptr<test::Process> start(const ScoreCase& c, int seconds) {
    auto environment = test::mpi_environment();
    environment["SLURM_JOB_END_TIME"] = std::to_string(std::time(nullptr) + seconds);
    return std::make_unique<test::Process>(c.command(), environment);
  }
  /// The state once `condition` holds for it; the last one if the process ends before.
  template <class Condition>
  RunState state_when(test::Process& process, Condition condition) const {
    RunState state;
    while (process.running()) {
      if (std::filesystem::exists(run_.state_path())) state = run_.read_state();
      if (condition(state)) break;
      std::this_thread::sleep_for(20ms);
    }
    return state;
  }
  bool shard_is_there(int64_t chunk) const {
    return run_.find_units() && std::filesystem::exists(run_.find_units()->file(run_.root(), chunk));
  }

  test::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
};

TEST_F(TimeLimit, WhatFitsIsDoneMergeIncluded) {
  ScoreCase c = case_of(1500, 300, "50");
  for (const int ranks : {0, 2}) {
    c.ranks = ranks;
    std::filesystem::remove_all(run_.root());
    const auto process = start(c, 120);
    state_when(*process, [&](const RunState&) { return shard_is_there(2); });
    ASSERT_TRUE(process->running());
    for (const pid_t rank : test::descendants(process->pid(), "switchyard")) ::kill(rank, SIGUSR1);
    if (ranks == 0) ::kill(process->pid(), SIGUSR1);
    const auto result = process->wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find("the time limit is near"), std::string::npos) << result.err;
    EXPECT_EQ(run_.read_state().status, RunStatus::complete);
    EXPECT_EQ(test::json_field(result.out, "attempts"), "1");
  }
}

TEST_F(TimeLimit, ChunksThatFitAreDoneAndTheRestIsLeft) {
  const ScoreCase c = case_of(6000, 900, "60");
  const std::time_t end = std::time(nullptr) + 15;  // ten seconds are the batch script's
  const auto process = start(c, 15);
  state_when(*process, [&](const RunState&) { return shard_is_there(0); });
  ::kill(process->pid(), SIGUSR1);
  const int64_t at_signal = run_.units_present().units;
  const auto result = process->wait(30s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_LE(std::time(nullptr), end - 9) << result.err;
  const RunState state = run_.read_state();
  EXPECT_EQ(state.status, RunStatus::interrupted);
  EXPECT_EQ(state.message, "stopped before the time limit");
  EXPECT_GT(state.units_done, at_signal) << result.err;
  EXPECT_LT(state.units_done, state.units_total);

  ScoreCase again = c;
  again.options.push_back("--dry-run");
  EXPECT_NE(test::score(again).out.find("device: CPU (as this run began)"), std::string::npos);
}

TEST_F(TimeLimit, WithinAChunkTheStateMoves) {
  const ScoreCase c = case_of(6000, 900, "6000");
  const auto process = start(c, 3600);
  const RunState state = state_when(*process, [](const RunState& s) { return s.items_done > 0; });
  ASSERT_TRUE(process->running()) << process->wait().err;
  EXPECT_EQ(state.units_done, 0);
  EXPECT_LT(state.items_done, 6000);
  EXPECT_TRUE(std::filesystem::exists(run_.metrics_path()));
  ::kill(process->pid(), SIGTERM);
  const auto result = process->wait(30s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_EQ(run_.read_state().items_done, 0) << "what was given up is not done";
  EXPECT_NE(result.err.find("0/1 chunks | "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("computed in vain: "), std::string::npos) << result.err;
}

}  // namespace
}  // namespace switchyard
