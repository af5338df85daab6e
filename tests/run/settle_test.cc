#include "run/settle.h"

#include <gtest/gtest.h>

#include "io/file.h"
#include "run/attempts.h"
#include "tests/support/environment.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// A run in the hands of job 17, restart 0.
class SettleTest : public ::testing::Test {
 protected:
  SettleTest() {
    run_.create();
    WorkUnits units = WorkUnits::of_items(90, 10);
    units.files = "shards/chunk-*.h5";
    run_.check_or_write_manifest({}, units, Json::object());
    std::filesystem::create_directory(units.folder(run_.root()));
  }

  void state(RunStatus status, int exit_code, const std::string& attempt = "17.0", const std::string& message = "") {
    run_.write_state({status, 9, 4, 90, 40, 0, exit_code, attempt, message});
  }
  void shard(int chunk) { directory_.write(fmt::format("run/shards/chunk-{:06d}.h5", chunk), "x"); }
  void log(const std::string& text) {
    std::filesystem::create_directories(run_.attempts_path() / "17.0");
    directory_.write("run/attempts/17.0/stderr.log", text);
  }
  void lease(const std::string& job, int restart) {
    directory_.write("run/lease.json",
                     fmt::format(R"({{"job":"{}","restart":{},"host":"n9","boot_id":"b","pid":1,"pid_start":2,)"
                                 R"("nonce":"00","renewal":3}})",
                                 job, restart));
  }

  test::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
  test::Variable job_{"SLURM_JOB_ID", "17"};
};

TEST_F(SettleTest, AKilledAttemptIsInterruptedWhateverSrunReturned) {
  for (const int rc : {137, 143, 1, 69}) {
    begin_attempt(run_);
    shard(rc);
    state(RunStatus::running, 0);
    EXPECT_EQ(settle(run_, rc).requeue, rc != 69) << rc;
    const RunState settled = run_.read_state();
    EXPECT_EQ(settled.status, rc == 69 ? RunStatus::failed : RunStatus::interrupted) << rc;
    EXPECT_EQ(settled.exit_code, rc == 69 ? 69 : 75) << rc;
  }
}

TEST_F(SettleTest, WhatTheAttemptSaidOfItselfStands) {
  begin_attempt(run_);
  shard(0);
  state(RunStatus::interrupted, 75, "17.0", "stopped on request");
  EXPECT_TRUE(settle(run_, 143).requeue);
  EXPECT_EQ(run_.read_state().message, "stopped on request");
  state(RunStatus::complete, 65);
  EXPECT_FALSE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().exit_code, 65);
  state(RunStatus::failed, 66, "17.0", "no such file");
  EXPECT_FALSE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().message, "no such file");
}

TEST_F(SettleTest, AStopThatTheOptionsAskedForIsNotRequeued) {
  begin_attempt(run_);
  shard(0);
  RunState stopped{RunStatus::interrupted, 9, 4, 90, 40, 0, 75, "17.0", "stopped after step 4"};
  stopped.as_planned = true;
  run_.write_state(stopped);
  EXPECT_FALSE(settle(run_, 75).requeue);
  EXPECT_EQ(run_.read_state().message, "stopped after step 4");
}

TEST_F(SettleTest, AVerdictOfTheWatchdogIsATimeout) {
  const AttemptRecord attempt = begin_attempt(run_);
  shard(0);
  state(RunStatus::running, 0);
  std::filesystem::create_directory(attempt.path / "hang");
  directory_.write("run/attempts/17.0/hang/verdict.json", R"({"message":"rank 2 on n2","reporter":0})");
  EXPECT_TRUE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().exit_code, 76);
  EXPECT_EQ(run_.read_state().message, "rank 2 on n2");
}

TEST_F(SettleTest, BadInputFailsWithTheRanksOwnMessage) {
  log("12:00:00 [0/4 n1] reading\n12:00:01 [0/4 n1] error: d.h5: cannot open\nsrun: error: n1: task 0: Exited\n");
  const Settlement settlement = settle(run_, 66);
  EXPECT_FALSE(settlement.requeue);
  const RunState settled = run_.read_state();
  EXPECT_EQ(settled.status, RunStatus::failed);
  EXPECT_EQ(settled.exit_code, 66);
  EXPECT_EQ(settled.message, "d.h5: cannot open");
}

TEST_F(SettleTest, ThreeFruitlessAttemptsAreTheLast) {
  shard(0);
  for (int restart = 0; restart < 3; ++restart) {
    const test::Variable count("SLURM_RESTART_COUNT", std::to_string(restart));
    if (restart != 1) begin_attempt(run_);  // the second dies before it can begin
    state(RunStatus::running, 0, fmt::format("17.{}", restart));
    EXPECT_EQ(settle(run_, 137).requeue, restart < 2) << restart;
  }
  EXPECT_NE(run_.read_state().message.find("3 attempts in a row"), std::string::npos);
  EXPECT_EQ(run_.read_state().status, RunStatus::interrupted);
  EXPECT_FALSE(settle(run_, std::nullopt).requeue);  // nor does a successor start
  // Whoever submits it again begins anew.
  const test::Variable again("SLURM_JOB_ID", "18");
  begin_attempt(run_);
  state(RunStatus::running, 0, "18.0");
  EXPECT_TRUE(settle(run_, 137).requeue);
}

TEST_F(SettleTest, AnOrderlyFailureAfterAVerdictIsStillATimeout) {
  const AttemptRecord attempt = begin_attempt(run_);
  shard(0);
  state(RunStatus::failed, 69, "17.0", "MPI error");  // of a rank whose peer had ended by the verdict
  std::filesystem::create_directory(attempt.path / "hang");
  directory_.write("run/attempts/17.0/hang/verdict.json", R"({"message":"rank 2","reporter":0})");
  EXPECT_TRUE(settle(run_, 69).requeue);
  EXPECT_EQ(run_.read_state().exit_code, 76);
}

TEST_F(SettleTest, ASuccessorStartsAfterAKilledLinkWhoseLeaseIsThere) {
  state(RunStatus::running, 0, "16.0");
  lease("16", 0);
  EXPECT_TRUE(settle(run_, std::nullopt).requeue);
}

TEST_F(SettleTest, TheLastOfSeveralAttemptsOfAJobIsMeant) {
  const AttemptRecord first = begin_attempt(run_), second = begin_attempt(run_);
  std::filesystem::create_directory(first.path / "hang");
  directory_.write("run/attempts/17.0/hang/verdict.json", R"({"message":"old","reporter":0})");
  shard(0);
  state(RunStatus::interrupted, 75, second.name(), "stopped on request");
  EXPECT_TRUE(settle(run_, 75).requeue);
  EXPECT_EQ(run_.read_state().exit_code, 75);
  EXPECT_TRUE(std::filesystem::exists(second.path / "end.json"));
}

TEST_F(SettleTest, AnotherJobsRunIsLeftAlone) {
  state(RunStatus::running, 0, "18.0");
  lease("18", 0);
  EXPECT_FALSE(settle(run_, 78).requeue);
  EXPECT_FALSE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().status, RunStatus::running);
  EXPECT_TRUE(std::filesystem::exists(run_.lease_path()));
  lease("17", 1);  // our own successor: we are the orphan of a lost node
  EXPECT_FALSE(settle(run_, 143).requeue);
  EXPECT_EQ(run_.read_state().status, RunStatus::running);
}

TEST_F(SettleTest, ACommandThatDoesNotFitTheRunChangesNothing) {
  state(RunStatus::interrupted, 75, "16.0", "stopped on request");
  EXPECT_FALSE(settle(run_, 78).requeue);
  EXPECT_EQ(run_.read_state().message, "stopped on request");
}

TEST_F(SettleTest, TheLeaseOfADeadAttemptIsRemoved) {
  begin_attempt(run_);
  state(RunStatus::running, 0);
  lease("17", 0);
  EXPECT_TRUE(settle(run_, 137).requeue);
  EXPECT_FALSE(std::filesystem::exists(run_.lease_path()));
}

TEST_F(SettleTest, WithoutACodeNothingIsChanged) {
  state(RunStatus::running, 0);
  EXPECT_TRUE(settle(run_, std::nullopt).requeue);
  EXPECT_EQ(run_.read_state().status, RunStatus::running);
  state(RunStatus::failed, 66);
  EXPECT_FALSE(settle(run_, std::nullopt).requeue);
}

TEST_F(SettleTest, WhatSrunSaidLastIsTold) {
  begin_attempt(run_);
  shard(0);
  state(RunStatus::running, 0);
  directory_.write("run/attempts/17.log", "srun: error: old\nx\nsrun: error: n1: task 0: Killed\nsrun: Terminating\n");
  EXPECT_TRUE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().message,
            "the attempt ended without a word (srun returned 137: error: n1: task 0: Killed)");
}

TEST_F(SettleTest, WhatSrunSaidOfAnArraysTaskIsInItsLog) {
  const test::Variable array("SLURM_ARRAY_JOB_ID", "15"), task("SLURM_ARRAY_TASK_ID", "2");
  begin_attempt(run_);
  shard(0);
  state(RunStatus::running, 0);
  directory_.write("run/attempts/15_2.log", "srun: error: n1: task 0: Killed\n");
  EXPECT_TRUE(settle(run_, 137).requeue);
  EXPECT_NE(run_.read_state().message.find("task 0: Killed"), std::string::npos) << run_.read_state().message;
}

TEST_F(SettleTest, AnAttemptThatStoppedBeforeItBeganHasSaidWhy) {
  log("12:00:00 [0/4 n1] reading\n12:00:01 [0/4 n1] error: stopped on request while importing\n");
  EXPECT_TRUE(settle(run_, 75).requeue);
  EXPECT_EQ(run_.read_state().status, RunStatus::interrupted);
  EXPECT_EQ(run_.read_state().message, "stopped on request while importing");
}

TEST_F(SettleTest, OfWhatWasInterruptedTheCauseIsAdded) {
  begin_attempt(run_);
  shard(0);
  const StopCause cause = [&](const std::filesystem::path& attempt, bool was_told) {
    EXPECT_EQ(attempt, run_.attempts_path() / "17.0");
    return std::string(was_told ? "preempted" : "");
  };
  state(RunStatus::interrupted, 75, "17.0", "stopped on request");
  for (int i = 0; i < 2; ++i) {  // once only
    EXPECT_TRUE(settle(run_, 75, cause).requeue);
    EXPECT_EQ(run_.read_state().message, "stopped on request (preempted)");
  }
  state(RunStatus::running, 0, "17.0", "");
  EXPECT_TRUE(settle(run_, 137, cause).requeue);
  EXPECT_EQ(run_.read_state().message, "the attempt ended without a word (srun returned 137)");
}

}  // namespace
}  // namespace switchyard
