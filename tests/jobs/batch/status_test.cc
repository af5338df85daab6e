#include "jobs/batch/status.h"

#include <gtest/gtest.h>

#include "io/attempts.h"
#include "io/lease.h"
#include "jobs/batch/submissions.h"
#include "tests/support/environment.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

SlurmJob job(const std::string& state, int restarts = 0) {
  SlurmJob j;
  j.id = "17";
  j.state = state;
  j.restarts = restarts;
  return j;
}

RunState state(RunStatus status) {
  RunState s;
  s.status = status;
  return s;
}

TEST(JointStateTest, JoinsTheRunsWordWithSlurms) {
  EXPECT_EQ(joint_state(std::nullopt, false, std::nullopt), "new");
  EXPECT_EQ(joint_state(std::nullopt, true, std::nullopt), "submitted");
  EXPECT_EQ(joint_state(std::nullopt, true, job("PENDING")), "queued");
  EXPECT_EQ(joint_state(std::nullopt, true, job("RUNNING")), "starting");
  EXPECT_EQ(joint_state(std::nullopt, true, job("FAILED")), "lost");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("RUNNING")), "running");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("CANCELLED")), "interrupted");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("PENDING", 1)), "requeued");
  EXPECT_EQ(joint_state(state(RunStatus::interrupted), true, job("PENDING", 2)), "requeued");
  EXPECT_EQ(joint_state(state(RunStatus::interrupted), true, job("PENDING", 0)), "queued");
  EXPECT_EQ(joint_state(state(RunStatus::complete), true, job("COMPLETED")), "complete");
  EXPECT_EQ(joint_state(state(RunStatus::failed), true, job("PENDING")), "failed");
  EXPECT_EQ(joint_state(state(RunStatus::running), false, std::nullopt), "running");
}

TEST(ParseJobsTest, ReadsScontrolsLines) {
  const auto jobs = parse_jobs(
      "JobId=17 JobName=score run Restarts=2 JobState=PENDING Reason=BeginTime RunTime=00:00:00 NodeList= "
      "TimeLimit=01:00:00 StartTime=2026-01-01T00:00:00\n"
      "JobId=19 ArrayJobId=18 ArrayTaskId=3 JobState=RUNNING Reason=None Restarts=0 NodeList=n[1-2]\n"
      "slurm_load_jobs error: something\n");
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0].id, "17");
  EXPECT_TRUE(jobs[0].is_pending());
  EXPECT_EQ(jobs[0].restarts, 2);
  EXPECT_EQ(jobs[0].reason, "BeginTime");
  EXPECT_EQ(jobs[1].id, "18_3");
  EXPECT_TRUE(jobs[1].is_running());
  EXPECT_EQ(jobs[1].nodes, "n[1-2]");
}

class StatusTest : public ::testing::Test {
 protected:
  /// Slurm as an scontrol that runs `body` with what it is asked for, "show job 17 --oneliner" or "ping".
  void slurm(const std::string& body) {
    std::filesystem::create_directories(directory_ / "bin");
    directory_.write("bin/scontrol", "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(directory_ / "bin" / "scontrol", std::filesystem::perms::owner_all);
    path_.emplace("PATH", (directory_ / "bin").native() + ":/usr/bin:/bin");
  }

  test::TemporaryDirectory directory_;
  std::optional<test::Variable> path_;
  RunDirectory run_{directory_ / "run"};
};

TEST_F(StatusTest, RateAndTimeLeftComeFromTheLastChunks) {
  run_.create();
  run_.write_state({RunStatus::running, 10, 4, 1000, 400, 0, 0, "local.1", ""});
  std::filesystem::create_directory(run_.attempts_path() / "local.1");
  directory_.write("run/attempts/local.1/start.json", R"({"number":1,"chunks":1,"time":500})");
  directory_.write("run/metrics.jsonl",
                   "{\"time\":400,\"records\":90,\"rejects\":10,\"seconds\":10}\n"  // of an earlier attempt
                   "{\"time\":1000,\"records\":90,\"rejects\":10,\"seconds\":10}\n"
                   "{\"time\":1030,\"records\":300,\"rejects\":0,\"seconds\":30}\n"
                   "{\"time\":10");  // being written
  const RunReport report = report_on(run_);
  EXPECT_DOUBLE_EQ(report.records_per_second, 10);
  EXPECT_DOUBLE_EQ(report.seconds_left, 60);
}

TEST_F(StatusTest, AFailedRunShowsTheFailingRanksLines) {
  run_.create();
  run_.write_state({RunStatus::failed, 0, 0, 0, 0, 0, 66, "17.0", "bad"});
  std::filesystem::create_directory(run_.attempts_path() / "17.0");
  directory_.write(
      "run/attempts/17.0/stderr.log",
      "12:00 [0/2 n1] loading\n12:01 [1/2 n2] warning: slow\n12:02 [1/2 n2] error: bad\n12:03 [0/2 n1] x\n");
  const RunReport report = report_on(run_);
  EXPECT_EQ(report.log_lines, (std::vector<std::string>{"12:01 [1/2 n2] warning: slow", "12:02 [1/2 n2] error: bad"}));
  EXPECT_EQ(to_json(report)["exit_code"], 66);
}

TEST_F(StatusTest, ASubmittedRunIsKnownBeforeItBegins) {
  run_.create();
  record_submission(run_, {"170001", "170002"});
  EXPECT_EQ(last_submission(run_), (std::vector<std::string>{"170001", "170002"}));
  EXPECT_EQ(report_on(run_).state, "submitted");  // no Slurm here knows the job
}

TEST_F(StatusTest, AJobThatIsQueuedForAnOldRunIsWhatCounts) {
  run_.create();
  run_.write_state({RunStatus::failed, 9, 4, 90, 40, 0, 66, "16.0", "bad input"});
  record_submission(run_, {"17"});
  slurm(R"([ "$3" = 17 ] && echo "JobId=17 JobState=PENDING Reason=Priority Restarts=0")");
  RunReport report = report_on(run_);
  EXPECT_EQ(report.state, "queued");
  EXPECT_EQ(report.message, "Priority");
  slurm(R"([ "$3" = 17 ] && echo "JobId=17 JobState=RUNNING Reason=None Restarts=0")");
  EXPECT_EQ(report_on(run_).state, "starting");
  slurm(R"([ "$3" = 17 ] && echo "JobId=17 JobState=FAILED Reason=None Restarts=0")");
  report = report_on(run_);
  EXPECT_EQ(report.state, "failed");
  EXPECT_EQ(report.message, "bad input");
}

TEST_F(StatusTest, OfAChainTheLivingLinkIsShown) {
  run_.create();
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "18.0", ""});
  record_submission(run_, {"17", "18", "19"});
  slurm(R"(
case $3 in
  17) echo "JobId=17 JobState=TIMEOUT Reason=None Restarts=0" ;;
  18) echo "JobId=18 JobState=RUNNING Reason=None Restarts=0" ;;
  19) echo "JobId=19 JobState=PENDING Reason=Dependency Restarts=0" ;;
esac)");
  RunReport report = report_on(run_);
  EXPECT_EQ(report.state, "running");
  EXPECT_EQ(report.job, "18");
  // Between two links.
  run_.write_state({RunStatus::interrupted, 9, 4, 90, 40, 0, 75, "17.0", "stopped on request"});
  slurm(R"(
case $3 in
  17) echo "JobId=17 JobState=TIMEOUT Reason=None Restarts=0" ;;
  *) echo "JobId=$3 JobState=PENDING Reason=Dependency Restarts=0" ;;
esac)");
  report = report_on(run_);
  EXPECT_EQ(report.state, "queued");
  EXPECT_EQ(report.job, "18");
}

TEST_F(StatusTest, ARunIsNotAtWorkWhenItsJobIsGone) {
  run_.create();
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "17.0", ""});
  record_submission(run_, {"17"});
  slurm(R"([ "$1" = ping ])");  // answers, and does not know the job
  EXPECT_EQ(report_on(run_).state, "interrupted");
  EXPECT_NE(report_on(run_).message.find("job 17 is gone"), std::string::npos);
  slurm("exit 1");  // no answer: who knows
  EXPECT_EQ(report_on(run_).state, "running");
  slurm(R"([ "$1" = ping ])");
  directory_.write("run/lease.json", "renewed");  // by a job of another cluster, say
  EXPECT_EQ(report_on(run_).state, "running");
}

TEST_F(StatusTest, ALocalRunIsNotAtWorkWhenItsProcessIsGone) {
  run_.create();
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "local.1", ""});
  LeaseHolder holder = LeaseHolder::self();
  const auto write = [&] {
    directory_.write("run/lease.json",
                     fmt::format(R"({{"job":"","restart":0,"host":"{}","boot_id":"{}","pid_namespace":"{}","pid":{},)"
                                 R"("pid_start":{},"nonce":"00","renewal":3}})",
                                 holder.host, holder.boot_id, holder.pid_namespace, holder.pid, holder.pid_start));
  };
  write();
  EXPECT_EQ(report_on(run_).state, "running");
  ++holder.pid_start;  // its number is another process's now
  write();
  EXPECT_EQ(report_on(run_).state, "interrupted");
  holder.pid_namespace = "pid:[1]";  // of a container: who knows
  write();
  EXPECT_EQ(report_on(run_).state, "running");
}

TEST_F(StatusTest, ASubmissionCutOffByAFullDiskIsPassedOver) {
  run_.create();
  record_submission(run_, {"17"});
  std::ofstream(run_.root() / "jobs.jsonl", std::ios::app) << "{\"time\":17,\"jo";
  EXPECT_EQ(last_submission(run_), (std::vector<std::string>{"17"}));
}

TEST_F(StatusTest, WhatIsNoRunIsRefused) {
  EXPECT_TRUE(test::fails(ExitCode::input, {"run"}, [&] { report_on(run_); }));
}

TEST_F(StatusTest, WhatCannotBeReachedIsInputThatIsBad) {
  std::filesystem::create_symlink("loop", directory_ / "loop");
  for (const std::string root : {directory_ / "loop", directory_ / "loop/run", directory_ / std::string(300, 'x')})
    EXPECT_TRUE(test::fails(ExitCode::input, {root}, [&] { report_on(RunDirectory(root)); }));
  run_.create();
  run_.write_state({RunStatus::failed, 0, 0, 0, 0, 0, 66, "17.0", "bad"});
  std::filesystem::create_directory(run_.attempts_path() / "17.0");
  std::filesystem::create_symlink("start.json", run_.attempts_path() / "17.0/start.json");
  EXPECT_TRUE(test::fails(ExitCode::input, {"start.json"}, [&] { list_attempts(run_); }));
  EXPECT_EQ(report_on(run_).state, "failed");  // its log is not needed to say so
}

TEST_F(StatusTest, LinesOfOtherTypesArePassedOver) {
  run_.create();
  record_submission(run_, {"17"});
  directory_.write("run/metrics.jsonl",
                   "{\"time\":\"x\",\"records\":[]}\n7\n{\"time\":1,\"records\":2,\"seconds\":{}}\n");
  std::ofstream(run_.root() / "jobs.jsonl", std::ios::app) << "{\"jobs\":[18]}\n[]\n";
  run_.write_state({RunStatus::running, 10, 4, 1000, 400, 0, 0, "local.1", ""});
  EXPECT_EQ(report_on(run_).state, "running");
  EXPECT_EQ(last_submission(run_), (std::vector<std::string>{"17"}));
}

}  // namespace
}  // namespace switchyard
