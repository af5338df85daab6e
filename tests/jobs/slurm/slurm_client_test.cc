#include "jobs/slurm/slurm_client.h"

#include <gtest/gtest.h>

#include "tests/support/environment.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

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

TEST(ParseJobIdTest, TakesTheLastLine) {
  EXPECT_EQ(parse_job_id("17\n"), "17");
  EXPECT_EQ(parse_job_id("17;cluster\n"), "17");
  EXPECT_EQ(parse_job_id("Maintenance on Monday\n12\n\n 17 \r\n\n"), "17");
  EXPECT_EQ(parse_job_id("Submitted batch job 17\n"), "17");
  EXPECT_EQ(parse_job_id("Submitted batch job 17 on cluster big\n"), "17");
}

TEST(ParseJobIdTest, RefusesWhatIsNone) {
  for (const char* text : {"", "\n", "17\nWelcome\n", "job 17", "17 18", "-17", "17_3", "1e3"})
    EXPECT_TRUE(test::fails(ExitCode::environment, {"job's id", "squeue"}, [&] { parse_job_id(text); })) << text;
  EXPECT_TRUE(test::fails(ExitCode::environment, {"Wel"}, [&] { parse_job_id("Wel" + std::string(1 << 20, 'x')); }));
}

/// An scontrol that runs `body`, first in PATH.
class SlurmClientTest : public ::testing::Test {
 protected:
  void scontrol(const std::string& body) {
    std::filesystem::create_directories(directory_ / "bin");
    directory_.write("bin/scontrol", "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(directory_ / "bin" / "scontrol", std::filesystem::perms::owner_all);
  }

  test::TemporaryDirectory directory_;
  test::Variable path_{"PATH", (directory_ / "bin").native() + ":/usr/bin:/bin"};
};

TEST_F(SlurmClientTest, NoVariableChangesWhatIsRead) {
  const test::Variable format("SLURM_TIME_FORMAT", "relative"), clusters("SLURM_CLUSTERS", "all"),
      federation("SCONTROL_FEDERATION", "1"), states("SQUEUE_STATES", "R"), locale("LC_ALL", "de_DE.UTF-8"),
      where("SLURM_CONF", "/etc/slurm.conf"), token("SLURM_JWT", "x");
  const std::string seen = directory_ / "seen";
  scontrol("env | grep -E '^(SLURM|SQUEUE|SCONTROL)_|^LC_ALL' | sort > " + seen);
  slurm_answers();
  EXPECT_EQ(test::bytes_of_file(seen),
            "LC_ALL=C\nSLURM_BITSTR_LEN=0\nSLURM_CONF=/etc/slurm.conf\nSLURM_JWT=x\nSLURM_TIME_FORMAT=standard\n");
  find_jobs("17");
  EXPECT_NE(test::bytes_of_file(seen).find("SLURM_TIME_FORMAT=standard\n"), std::string::npos);
}

TEST(ParseJobsTest, KnowsHowTheScriptEndedAndWhatItSaid) {
  const auto jobs = parse_jobs(
      "JobId=18 ArrayJobId=17 ArrayTaskId=3 JobState=FAILED Restarts=0 ExitCode=69:0 Comment=switchyard: n1 is blind: "
      "why? StdErr=/x Power=\nJobId=19 JobState=FAILED Restarts=0 ExitCode=0:53 Comment=mine StdErr=/x\n");
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0].id, "17_3");
  EXPECT_EQ(jobs[0].number, "18");
  EXPECT_EQ(jobs[0].exit_code, 69);
  EXPECT_EQ(jobs[0].comment, "n1 is blind: why?");
  EXPECT_EQ(jobs[1].signal, 53);
  EXPECT_EQ(jobs[1].comment, "");
}

TEST(ParseJobsTest, RarerStatesAreWhatTheyAmountTo) {
  for (const char* waiting : {"REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "PENDING"})
    EXPECT_TRUE(parse_jobs(std::string("JobId=1 JobState=") + waiting + "\n").at(0).is_pending()) << waiting;
  for (const char* at_work : {"SIGNALING", "STAGE_OUT", "RESIZING", "COMPLETING"})
    EXPECT_TRUE(parse_jobs(std::string("JobId=1 JobState=") + at_work + "\n").at(0).is_running()) << at_work;
  EXPECT_TRUE(parse_jobs("JobId=1 JobState=COMPLETING Restarts=1 EndTime=Unknown\n").at(0).is_pending());
  EXPECT_TRUE(parse_jobs("JobId=1 JobState=BOOT_FAIL\n").at(0).has_ended());
}

TEST(ParseNodesTest, TakesSinfosLines) {
  const auto nodes = parse_nodes(
      "batch*|64|gpu:a100:4(S:0-1),gpu:h100:2,shard:8|1-00:00:00|idle\nold|4+|(null)|infinite|down*\nWelcome\n");
  ASSERT_EQ(nodes.size(), 2u);
  EXPECT_EQ(nodes[0].partition, "batch");
  EXPECT_TRUE(nodes[0].is_default);
  EXPECT_EQ(nodes[0].cores, 64);
  EXPECT_EQ(nodes[0].gpus, 6);
  EXPECT_EQ(nodes[0].time_limit, "1-00:00:00");
  EXPECT_FALSE(nodes[1].is_default);
  EXPECT_EQ(nodes[1].cores, 4);
  EXPECT_EQ(nodes[1].gpus, 0);
  EXPECT_EQ(nodes[1].state, "down*");
}

TEST_F(SlurmClientTest, TheLimitOfArraysIsSlurmsOwn) {
  scontrol("echo 'MaxArraySize            = 1001'; echo 'MaxDBDMsgs              = 20008'");
  EXPECT_EQ(max_array_size(), 1001);
  for (const char* no_answer : {"exit 1", "echo Welcome", "echo 'MaxArraySize = (null)'"}) {
    scontrol(no_answer);
    EXPECT_EQ(max_array_size(), 4'000'001) << no_answer;
  }
}

}  // namespace
}  // namespace switchyard
