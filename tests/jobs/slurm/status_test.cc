#include "jobs/slurm/status.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "jobs/job.h"
#include "jobs/slurm/submissions.h"
#include "run/attempt_log.h"
#include "run/attempts.h"
#include "run/lease.h"
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
  EXPECT_EQ(joint_state(std::nullopt, true, job("CANCELLED")), "cancelled");
  EXPECT_EQ(joint_state(std::nullopt, true, job("PENDING", 1)), "requeued");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("RUNNING")), "running");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("CANCELLED")), "interrupted");
  EXPECT_EQ(joint_state(state(RunStatus::running), true, job("PENDING", 1)), "requeued");
  EXPECT_EQ(joint_state(state(RunStatus::interrupted), true, job("PENDING", 2)), "requeued");
  EXPECT_EQ(joint_state(state(RunStatus::interrupted), true, job("PENDING", 0)), "queued");
  EXPECT_EQ(joint_state(state(RunStatus::complete), true, job("COMPLETED")), "complete");
  EXPECT_EQ(joint_state(state(RunStatus::failed), true, job("PENDING")), "failed");
  EXPECT_EQ(joint_state(state(RunStatus::running), false, std::nullopt), "running");
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

  /// The same for several jobs: what it prints by the job's id.
  void slurm_jobs(const std::map<std::string, std::string>& jobs) {
    std::string body = "case $3 in\n";
    for (const auto& [id, fields] : jobs) body += fmt::format("{0}) echo 'JobId={0} {1}' ;;\n", id, fields);
    slurm(body + "*) exit 1 ;;\nesac");
  }
  void attempt(const std::string& name, const std::string& log, int64_t started = 0) {
    std::filesystem::create_directories(run_.attempts_path() / name);
    directory_.write("run/attempts/" + name + "/stderr.log", log);
    if (started > 0)
      directory_.write("run/attempts/" + name + "/start.json",
                       fmt::format(R"({{"number":1,"units":0,"time":{}}})", started));
  }

  test::TemporaryDirectory directory_;
  std::optional<test::Variable> path_;
  RunDirectory run_{directory_ / "run"};
};

TEST_F(StatusTest, RateAndTimeLeftComeFromTheLastChunks) {
  run_.create();
  run_.write_state({RunStatus::running, 10, 4, 1000, 400, 0, 0, "local.1", ""});
  directory_.write("run/lease.json", "of somebody");
  std::filesystem::create_directory(run_.attempts_path() / "local.1");
  directory_.write("run/attempts/local.1/start.json", R"({"number":1,"units":1,"time":500})");
  directory_.write("run/metrics.jsonl",
                   "{\"time\":400,\"items\":100,\"seconds\":10}\n"  // of an earlier attempt
                   "{\"time\":1000,\"items\":100,\"seconds\":10}\n"
                   "{\"time\":1030,\"items\":300,\"seconds\":30}\n"
                   "{\"time\":10");  // being written
  const RunReport report = report_on(run_);
  EXPECT_DOUBLE_EQ(report.items_per_second, 10);
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

TEST_F(StatusTest, OfAStudyItsPointsTell) {
  run_.create();
  directory_.write("run/manifest.json", R"({"format": 4, "fingerprint": {}, "units": {}, "info": {"job": "sweep"}})");
  EXPECT_NE(report_on(run_).message.find("switchyard collect"), std::string::npos) << report_on(run_).message;
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
  directory_.write("run/lease.json", "renewed");  // by a job of another cluster, say
  EXPECT_EQ(report_on(run_).state, "running");
  slurm("exit 1");  // no answer: who knows
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
  std::filesystem::remove(directory_ / "run/lease.json");  // it has ended, and the disk did not take its last word
  EXPECT_EQ(report_on(run_).state, "interrupted");
  EXPECT_NE(report_on(run_).message.find("without being able to say why"), std::string::npos);
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
  directory_.write("run/lease.json", "of somebody");
  run_.write_state({RunStatus::running, 10, 4, 1000, 400, 0, 0, "local.1", ""});
  EXPECT_EQ(report_on(run_).state, "running");
  EXPECT_EQ(last_submission(run_), (std::vector<std::string>{"17"}));
}

TEST_F(StatusTest, FollowsTheJobThatHasTheRunAndListsTheOthers) {
  run_.create();
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "17.0", ""});
  record_submission(run_, {"17"});
  record_submission(run_, {"18"});
  record_submission(run_, {"19"});
  attempt("18.0", "12:00 [0/2 n1] error: input b.h5: belongs to another\n");
  const std::string refused = "JobState=FAILED Reason=NonZeroExitCode NodeList=n1 ExitCode=78:0 Restarts=0";
  const std::string waiting = "JobState=PENDING Reason=Priority Restarts=0";
  slurm_jobs({{"17", "JobState=RUNNING Reason=None Restarts=0"}, {"18", refused}, {"19", waiting}});
  RunReport report = report_on(run_);
  EXPECT_EQ(report.state, "running");
  EXPECT_EQ(report.job, "17");
  ASSERT_EQ(report.others.size(), 2u);
  EXPECT_EQ(report.others[0].id, "18");
  EXPECT_EQ(report.others[0].why, "failed with exit code 78: input b.h5: belongs to another");
  EXPECT_EQ(report.others[1].why, "Priority");
  EXPECT_EQ(to_json(report)["other_jobs"][1]["id"], "19");

  run_.write_state({RunStatus::interrupted, 9, 4, 90, 40, 0, 75, "17.0", "stopped on request"});
  slurm_jobs({{"17", "JobState=TIMEOUT TimeLimit=01:00:00 NodeList=n1 Restarts=0"}, {"18", refused}, {"19", waiting}});
  report = report_on(run_);
  EXPECT_EQ(report.state, "queued");
  EXPECT_EQ(report.job, "19");
  EXPECT_EQ(report.counts.units_done, 4);
  EXPECT_EQ(report.counts.exit_code, 0);

  // With nothing alive the run's own word counts; Slurm may have forgotten who was refused.
  run_.write_state({RunStatus::complete, 9, 9, 90, 90, 0, 0, "17.0", ""});
  for (const bool forgotten : {false, true}) {
    slurm_jobs(forgotten ? std::map<std::string, std::string>{} : std::map<std::string, std::string>{{"18", refused}});
    report = report_on(run_);
    EXPECT_EQ(report.state, "complete");
    EXPECT_EQ(report.job, "17");
    EXPECT_TRUE(report.has_ended());
    ASSERT_EQ(report.others.size(), 1u);
    EXPECT_NE(report.others[0].why.find("input b.h5"), std::string::npos) << report.others[0].why;
  }
}

TEST_F(StatusTest, OfJobsThatNeverHadTheRunTheLastIsShown) {
  run_.create();
  record_submission(run_, {"17"});
  record_submission(run_, {"18"});
  slurm_jobs({{"17", "JobState=FAILED Reason=NonZeroExitCode NodeList=n1 ExitCode=69:0 Restarts=0"},
              {"18", "JobState=FAILED Reason=NonZeroExitCode NodeList=n2 ExitCode=69:0 Restarts=0"}});
  const RunReport report = report_on(run_);
  EXPECT_EQ(report.state, "lost");
  EXPECT_EQ(report.job, "18");
  ASSERT_EQ(report.others.size(), 1u);
  EXPECT_EQ(report.others[0].id, "17");
}

TEST_F(StatusTest, AJobThatSlurmHasForgottenWasCancelledUnlessItBegan) {
  run_.create();
  record_submission(run_, {"17_3"});
  slurm(R"([ "$1" = ping ])");
  EXPECT_EQ(report_on(run_).state, "cancelled");
  EXPECT_TRUE(report_on(run_).has_ended());
  directory_.write("run/attempts/17_3.log", "module: command not found\n");
  EXPECT_EQ(report_on(run_).state, "lost");
}

TEST_F(StatusTest, OfAVeryLongChainNotEveryLinkIsAskedFor) {
  run_.create();
  run_.write_state({RunStatus::interrupted, 9, 4, 90, 40, 0, 75, "130.0", "stopped on request"});
  std::vector<std::string> links;
  for (int id = 101; id <= 160; ++id) links.push_back(std::to_string(id));
  record_submission(run_, links);
  slurm("echo >> " + (directory_ / "calls").native() +
        "\n[ $3 -gt 130 ] && echo JobId=$3 JobState=PENDING Reason=Dependency Restarts=0");
  EXPECT_EQ(report_on(run_).job, "131");
  EXPECT_LE(std::filesystem::file_size(directory_ / "calls"), 32u);
}

TEST_F(StatusTest, AJobThatWaitsForTheLeaseIsNotTheOneThatHoldsIt) {
  run_.create();
  record_submission(run_, {"17"});
  record_submission(run_, {"18"});
  directory_.write("run/lease.json",
                   R"({"job":"18","restart":0,"host":"n9","boot_id":"b","pid":1,"pid_start":2,"nonce":"00"})");
  slurm_jobs({{"17", "JobState=RUNNING Restarts=0"}, {"18", "JobState=RUNNING Restarts=0"}});
  EXPECT_EQ(report_on(run_).job, "18");
}

TEST_F(StatusTest, ARunOfAScriptOfOnesOwnHasItsJob) {
  run_.create();
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "17.0", ""});
  attempt("17.0", "", 100);
  slurm_jobs({{"17", "JobState=RUNNING Reason=None NodeList=n1 Restarts=0"}});
  EXPECT_EQ(report_on(run_).job, "17");
  // A task of an array, which Slurm calls otherwise.
  slurm_jobs({{"17", "ArrayJobId=16 ArrayTaskId=3 JobState=RUNNING Restarts=0"}});
  EXPECT_EQ(report_on(run_).job, "16_3");
  EXPECT_EQ(report_on(run_).state, "running");

  for (const char* state : {"PENDING", "COMPLETING", "REQUEUE_HOLD"}) {  // after scontrol requeue
    slurm_jobs({{"17", fmt::format("JobState={} Reason=BeginTime Restarts=1 EndTime=Unknown", state)}});
    const RunReport report = report_on(run_);
    EXPECT_EQ(report.state, "requeued") << state;
    EXPECT_NE(report.message.find("requeued from outside"), std::string::npos) << report.message;
    EXPECT_FALSE(report.has_ended());
  }
}

TEST_F(StatusTest, ARestartedRunIsNotWhatItsLastAttemptWas) {
  run_.create();
  record_submission(run_, {"17"});
  for (const RunStatus before : {RunStatus::failed, RunStatus::interrupted, RunStatus::running}) {
    run_.write_state({before, 9, 4, 90, 40, 0, 66, "17.0", "bad input"});
    slurm_jobs({{"17", "JobState=RUNNING Reason=None NodeList=n1 Restarts=1"}});
    const RunReport report = report_on(run_);
    EXPECT_EQ(report.state, "starting");
    EXPECT_EQ(report.counts.exit_code, 0);
    EXPECT_EQ(report.counts.units_done, 4);
    EXPECT_TRUE(report.log_lines.empty());
  }
}

TEST_F(StatusTest, ALocalRunThatIsTakenUpAgainIsStarting) {
  run_.create();
  run_.write_state({RunStatus::failed, 9, 4, 90, 40, 0, 66, "local.1", "bad input"});
  const LeaseHolder self = LeaseHolder::self();
  directory_.write("run/lease.json",
                   fmt::format(R"({{"job":"","restart":0,"host":"{}","boot_id":"{}","pid_namespace":"{}","pid":{},)"
                               R"("pid_start":{},"nonce":"00","renewal":3}})",
                               self.host, self.boot_id, self.pid_namespace, self.pid, self.pid_start));
  std::filesystem::last_write_time(run_.state_path(),
                                   std::filesystem::last_write_time(run_.lease_path()) - std::chrono::seconds(1));
  EXPECT_EQ(report_on(run_).state, "starting");
  std::filesystem::remove(run_.lease_path());
  EXPECT_EQ(report_on(run_).state, "failed");
}

TEST_F(StatusTest, TellsWhyAJobEnded) {
  run_.create();
  record_submission(run_, {"17"});
  slurm_jobs({{"17", "JobState=CANCELLED Reason=JobHeldUser NodeList= Restarts=0"}});
  EXPECT_EQ(report_on(run_).state, "cancelled");
  EXPECT_EQ(report_on(run_).message, "job 17 was cancelled before it began (JobHeldUser)");
  run_.write_state({RunStatus::running, 9, 4, 90, 40, 0, 0, "17.0", ""});
  const std::map<std::string, std::string> causes = {{"TIMEOUT", "job 17 reached its time limit 01:00:00"},
                                                     {"CANCELLED", "job 17 was cancelled"},
                                                     {"PREEMPTED", "job 17 was preempted"},
                                                     {"NODE_FAIL", "job 17 lost a node of n[1-2]"},
                                                     {"OUT_OF_MEMORY", "job 17 needed more memory"},
                                                     {"BOOT_FAIL", "job 17 is BOOT_FAIL"}};
  for (const auto& [state, cause] : causes) {
    slurm_jobs({{"17", fmt::format("JobState={} Reason=None NodeList=n[1-2] TimeLimit=01:00:00 Restarts=0", state)}});
    const RunReport report = report_on(run_);
    EXPECT_EQ(report.state, "interrupted");
    EXPECT_TRUE(report.message.starts_with(cause)) << report.message;
  }
}

TEST_F(StatusTest, WhatEndedAJobIsTold) {
  run_.create();
  record_submission(run_, {"17"});
  const auto report_of = [&](const std::string& fields) {
    slurm_jobs({{"17", fields + " NodeList=n1 Restarts=0"}});
    return report_on(run_);
  };
  EXPECT_EQ(report_of("JobState=FAILED Reason=RaisedSignal ExitCode=0:9").message,
            "job 17 was killed by signal 9 (Killed)");
  EXPECT_NE(report_of("JobState=FAILED Reason=JobLaunchFailure ExitCode=0:53").message.find("could not open its log"),
            std::string::npos);
  EXPECT_EQ(report_of("JobState=COMPLETING Reason=None EndTime=2026-01-01T00:00:00").state, "ending");
  const RunReport blind = report_of("JobState=FAILED ExitCode=69:0 Comment=switchyard: n1 does not see it  StdErr=/l");
  EXPECT_EQ(blind.state, "failed");
  EXPECT_EQ(blind.message, "job 17 failed: n1 does not see it");
  run_.write_state({RunStatus::interrupted, 9, 4, 90, 40, 0, 75, "17.0", "stopped on request"});
  EXPECT_EQ(report_of("JobState=RUNNING Reason=None").state, "ending") << "its script settles the run";
}

TEST_F(StatusTest, ASuccessorThatWasNotNeededIsNoAlarm) {
  run_.create();
  run_.write_state({RunStatus::complete, 9, 9, 90, 90, 0, 0, "17.0", ""});
  record_submission(run_, {"17", "18"});
  slurm_jobs({{"17", "JobState=COMPLETED Reason=None NodeList=n1 Restarts=0"},
              {"18", "JobState=CANCELLED Reason=DependencyNeverSatisfied NodeList=(null) Restarts=0"}});
  const RunReport report = report_on(run_);
  ASSERT_EQ(report.others.size(), 1u);
  EXPECT_EQ(report.others[0].why, "was not needed");
}

TEST_F(StatusTest, SlurmsNoticeInTheLogIsFound) {
  const auto notice_of = [&](const std::string& why) {
    attempt("17.0",
            "12:00 [0/2 n1] DUE TO TIME LIMIT\nslurmstepd-n1: error: *** STEP 17.0 ON n1 CANCELLED AT "
            "2026-01-01T00:00:00" +
                why + " ***\n");
    return slurm_notice(run_.attempts_path() / "17.0");
  };
  EXPECT_EQ(notice_of(" DUE TO PREEMPTION"), "preempted");
  EXPECT_EQ(notice_of(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"), "a node failed");
  EXPECT_EQ(notice_of(" DUE TO TIME LIMIT"), "the time limit was reached");
  EXPECT_EQ(notice_of(""), "");
}

TEST_F(StatusTest, AddsUpWhatARunHasCost) {
  run_.create();
  run_.write_state({RunStatus::complete, 9, 9, 90, 90, 0, 0, "17.1", ""});
  std::ofstream(run_.root() / "jobs.jsonl") << R"({"time":1000,"jobs":["17"]})" << '\n';
  attempt("17.0", "", 1100);
  directory_.write("run/attempts/17.0/end.json", R"({"requeue":true,"time":2900})");  // nodes: as after the restart
  attempt("17.1", "");
  directory_.write("run/attempts/17.1/start.json", R"({"number":2,"units":5,"time":3000})");
  directory_.write("run/attempts/17.1/end.json", R"({"requeue":false,"time":6600,"nodes":2})");
  const std::optional<RunCost> cost = report_on(run_).cost;
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->attempts, 2);
  EXPECT_EQ(cost->elapsed, 5600);
  EXPECT_EQ(cost->waiting, 200);
  ASSERT_TRUE(cost->node_hours);
  EXPECT_DOUBLE_EQ(*cost->node_hours, 3.0);
  EXPECT_TRUE(status_table({report_on(run_)})
                  .back()
                  .ends_with("  2 attempts in 01:33:20, 03:20 of it waiting, 3.00 node-hours"));
}

TEST_F(StatusTest, AFolderStandsForItsRunsAndABadOneForARow) {
  RunDirectory(directory_ / "runs/a").create();
  RunDirectory(directory_ / "runs/b").create();
  RunDirectory(directory_ / "runs/b").write_state({RunStatus::complete, 9, 9, 90, 90, 0, 0, "local.1", ""});
  std::filesystem::create_directories(directory_ / "runs/thesis");
  std::filesystem::create_directories(directory_ / "runs/c");
  std::filesystem::create_symlink("state.json", directory_ / "runs/c/state.json");
  const auto reports = report_on_all({directory_ / "runs", directory_ / "runs/thesis", directory_ / "gone"});
  std::vector<std::string> states;
  for (const RunReport& report : reports) states.push_back(report.state);
  EXPECT_EQ(states, (std::vector<std::string>{"new", "complete", "error", "error", "error"}));
  EXPECT_NE(reports[0].message.find("no job is queued"), std::string::npos) << reports[0].message;
  EXPECT_TRUE(std::ranges::all_of(reports, &RunReport::has_ended));
}

TEST_F(StatusTest, WatchesTheFolderItIsInUntilAllHaveEnded) {
  run_.create();
  record_submission(run_, {"17"});
  slurm("echo JobId=17 JobState=$(if [ -e " + (directory_ / "seen").native() +
        " ]; then echo CANCELLED; else echo PENDING; fi)\n" + "touch " + (directory_ / "seen").native());
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  Pulse pulse;
  const auto self = make_self_communicator();
  Runtime runtime{*self, pulse, jobs()};
  const std::string args[] = {"--watch", "--every", "1"};
  ::testing::internal::CaptureStdout();
  const int code = run_status(runtime, args);
  const std::string out = ::testing::internal::GetCapturedStdout();
  std::filesystem::current_path(before);
  EXPECT_EQ(code, 0);
  EXPECT_NE(out.find("run  queued "), std::string::npos) << out;
  EXPECT_NE(out.find("run  cancelled "), std::string::npos) << out;
}

}  // namespace
}  // namespace switchyard
