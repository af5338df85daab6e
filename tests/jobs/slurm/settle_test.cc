#include "jobs/slurm/settle.h"

#include <gtest/gtest.h>

#include <ctime>

#include "io/file.h"
#include "jobs/job.h"
#include "run/attempts.h"
#include "run/settle.h"
#include "tests/support/environment.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// A run in the hands of job 17, restart 0.
class SettleJobTest : public ::testing::Test {
 protected:
  SettleJobTest() { run_.create(); }

  void state(RunStatus status, int exit_code, const std::string& attempt, const std::string& message) {
    run_.write_state({status, 9, 4, 90, 40, 0, exit_code, attempt, message});
  }
  void log(const std::string& text) {
    std::filesystem::create_directories(run_.attempts_path() / "17.0");
    directory_.write("run/attempts/17.0/stderr.log", text);
  }

  test::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
  test::Variable job_{"SLURM_JOB_ID", "17"};
};

TEST_F(SettleJobTest, ADirectoryThatIsNoRunIsRefusedAndLeftAlone) {
  Pulse pulse;
  const auto self = make_self_communicator();
  Runtime runtime{*self, pulse, jobs()};
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

TEST_F(SettleJobTest, TellsByWhomAnAttemptWasStopped) {
  std::filesystem::create_directories(directory_ / "bin");
  const test::Variable path("PATH", (directory_ / "bin").native() + ":/usr/bin:/bin");
  const test::Variable nodes("SLURM_JOB_NUM_NODES", "3");
  const auto settled = [&](const std::string& fields, const std::string& text) {
    directory_.write("bin/scontrol", "#!/bin/bash\necho 'JobId=17 " + fields + " TimeLimit=01:00:00'\n");
    std::filesystem::permissions(directory_ / "bin/scontrol", std::filesystem::perms::owner_all);
    log(text);
    state(RunStatus::interrupted, 75, "17.0", "stopped on request");
    EXPECT_TRUE(settle(run_, 75, slurm_stop_cause).requeue);
    return run_.read_state().message;
  };
  begin_attempt(run_);
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
  const Json ended = parse_json(read_text_file(run_.attempts_path() / "17.0/end.json"), "end");
  EXPECT_TRUE(ended.at("message").get<std::string>().ends_with("time limit 01:00:00)"));
  EXPECT_EQ(ended.at("nodes"), 3);
  EXPECT_GT(ended.at("time").get<int64_t>(), 0);
}

}  // namespace
}  // namespace switchyard
