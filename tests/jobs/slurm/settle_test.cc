#include "jobs/slurm/settle.h"

#include <gtest/gtest.h>

#include <ctime>

#include "io/file.h"
#include "jobs/job.h"
#include "run/attempts.h"
#include "tests/support/environment.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// A run in the hands of job 17, restart 0.
class SettleTest : public ::testing::Test {
 protected:
  SettleTest() { run_.create(); }

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

TEST_F(SettleTest, AVerdictOfTheWatchdogIsATimeout) {
  const Attempt attempt = begin_attempt(run_);
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
  const Attempt attempt = begin_attempt(run_);
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
  const Attempt first = begin_attempt(run_), second = begin_attempt(run_);
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

TEST_F(SettleTest, ADirectoryThatIsNoRunIsRefusedAndLeftAlone) {
  Pulse pulse;
  const auto self = make_self_communicator();
  Runtime runtime{*self, pulse};
  std::filesystem::create_directory(directory_ / "thesis");
  for (const char* name : {"thesis", "missing"})
    for (const char* rc : {"-1", "0", "137"}) {
      const std::string args[] = {(directory_ / name).string(), "--rc", rc};
      EXPECT_TRUE(test::fails_input({name, "expected a run directory"}, [&] { run_settle(runtime, args); })) << rc;
    }
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "thesis"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "missing"));
  // An attempt that died before it began has left its folder.
  const std::string args[] = {run_.root().string(), "--rc", "137"};
  EXPECT_EQ(run_settle(runtime, args), 0);
}

TEST_F(SettleTest, WithoutACodeNothingIsChanged) {
  state(RunStatus::running, 0);
  EXPECT_TRUE(settle(run_, std::nullopt).requeue);
  EXPECT_EQ(run_.read_state().status, RunStatus::running);
  state(RunStatus::failed, 66);
  EXPECT_FALSE(settle(run_, std::nullopt).requeue);
}

TEST_F(SettleTest, TellsByWhomAnAttemptWasStopped) {
  std::filesystem::create_directories(directory_ / "bin");
  const test::Variable path("PATH", (directory_ / "bin").native() + ":/usr/bin:/bin");
  const test::Variable nodes("SLURM_JOB_NUM_NODES", "3");
  const auto settled = [&](const std::string& fields, const std::string& text) {
    directory_.write("bin/scontrol", "#!/bin/bash\necho 'JobId=17 " + fields + " TimeLimit=01:00:00'\n");
    std::filesystem::permissions(directory_ / "bin/scontrol", std::filesystem::perms::owner_all);
    log(text);
    state(RunStatus::interrupted, 75, "17.0", "stopped on request");
    EXPECT_TRUE(settle(run_, 75).requeue);
    return run_.read_state().message;
  };
  begin_attempt(run_);
  shard(0);
  EXPECT_EQ(settled("JobState=RUNNING PreemptTime=None", ""), "stopped on request");
  EXPECT_EQ(settled("JobState=RUNNING PreemptTime=2026-01-01T00:00:00", ""), "stopped on request (preempted)");
  EXPECT_EQ(settled("JobState=COMPLETING EndTime=2026-01-01T00:00:00", ""), "stopped on request (cancelled)");
  EXPECT_EQ(settled("JobState=COMPLETING EndTime=Unknown Restarts=1", ""),
            "stopped on request (requeued from outside)");
  const std::string notice =
      "slurmstepd: error: *** STEP 17.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE ***\n";
  EXPECT_EQ(settled("JobState=RUNNING", notice), "stopped on request (a node failed)");
  const test::Variable end("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 100));
  const std::string near = settled("JobState=RUNNING", "");
  EXPECT_TRUE(near.ends_with(" before the end of its time limit 01:00:00)")) << near;
  state(RunStatus::running, 0, "17.0", "");
  EXPECT_TRUE(settle(run_, 137).requeue);
  EXPECT_EQ(run_.read_state().message, "the attempt ended without a word (srun returned 137)");
  state(RunStatus::interrupted, 75, "17.0", "stopped on request");
  EXPECT_TRUE(settle(run_, 75).requeue);
  const Json ended = parse_json(read_text_file(run_.attempts_path() / "17.0/end.json"), "end");
  EXPECT_TRUE(ended.at("message").get<std::string>().ends_with("time limit 01:00:00)"));
  EXPECT_EQ(ended.at("nodes"), 3);
  EXPECT_GT(ended.at("time").get<int64_t>(), 0);
}

}  // namespace
}  // namespace switchyard
