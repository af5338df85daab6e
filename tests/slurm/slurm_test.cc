// Jobs on a real Slurm cluster of four nodes: submitted, preempted, stopped, cancelled, refused; and always the same
// bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "tests/slurm/slurm_fixture.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

TEST_F(SlurmTest, ASubmittedJobCompletes) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options());
  expect_complete(run);
  EXPECT_TRUE(within(10s, [&] { return cluster_->job_field(job, "JobState") == "COMPLETED"; }));
  EXPECT_NE(run.file("attempts/" + job + ".0/stderr.log").find("4 ranks"), std::string::npos);
  EXPECT_EQ(parse_json(run.file("attempts/" + job + ".0/end.json"), "end").at("requeue"), false);
}

TEST_F(SlurmTest, AJobToWhichNothingIsExportedCompletes) {
  // Its name arrives as well, whatever sbatch makes of quotes and backslashes.
  const ClusterRun run = new_run();
  const std::string job =
      run.submit(options({"--name", "it's #1\\", "--setup", "export SWITCHYARD_PER_TOKEN=true"}), {"--export=NONE"});
  expect_complete(run);
  EXPECT_TRUE(datasets(run.path() / "results.h5").contains("token_logprob/values"))
      << "the ranks did not get what the script has";
  EXPECT_NE(cluster_->exec({"scontrol", "show", "job", job}).out.find("JobName=it's #1\\\n"), std::string::npos);
}

TEST_F(SlurmTest, GpusAreAskedForByTheNode) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options({"--gpus-per-node", "4"}));
  expect_complete(run);
  EXPECT_EQ(cluster_->job_field(job, "TresPerNode"), "gres:gpu:4");
}

TEST_F(SlurmTest, APreemptedJobGoesOn) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(slow_options({"--nodes", "4", "--tasks-per-node", "1"}), {"--exclusive"});
  ASSERT_TRUE(has_begun(run));
  cluster_->output_of({"sbatch", "--parsable", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null",
                       "--wrap=sleep 2"});
  ASSERT_TRUE(within(40s, [&] { return restarts(job) == 1; }));
  expect_complete(run);
}

TEST_F(SlurmTest, AnOperatorsRequeueIsSurvived) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(slow_options());
  ASSERT_TRUE(has_begun(run));
  cluster_->output_of({"scontrol", "requeue", job});
  expect_complete(run);
  EXPECT_GE(restarts(job), 1);  // 2 if the script asks for one as well before Slurm ends it
}

TEST_F(SlurmTest, TheTimeLimitIsSeenComing) {
  const ClusterRun run = new_run();
  // The limit is a minute, and Slurm looks at limits every half minute: the ranks are told after 5 to 35 s. They go on
  // with what fits; committing the fifty chunks would take a minute and a half.
  Words words = options({"--time", "1", "--signal-seconds", "55"});
  const Words slow = slow_disk({"SYNC_MILLISECONDS=900", "SYNC_FILES=/shards"});
  words.insert(words.end(), slow.begin(), slow.end());
  const std::string job = run.submit(words);
  ASSERT_TRUE(within(90s, [&] { return restarts(job) >= 1 || run.state() == "complete"; }));
  ASSERT_GE(restarts(job), 1) << "the run was too short to meet its limit";
  const Json end = parse_json(run.file("attempts/" + job + ".0/end.json"), "end");
  EXPECT_EQ(end.at("exit_code"), 75) << end.dump();
  EXPECT_TRUE(end.at("message").get<std::string>().starts_with("stopped before the time limit")) << end.dump();
  cluster_->output_of({"scontrol", "update", "JobId=" + job, "TimeLimit=10"});
  expect_complete(run);
}

TEST_F(SlurmTest, ACancelledJobStaysCancelledAndResumes) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(slow_options());
  ASSERT_TRUE(has_begun(run));
  cluster_->output_of({"scancel", job});
  ASSERT_TRUE(within(30s, [&] { return run.state() == "interrupted"; })) << run.status().dump(2);
  ASSERT_TRUE(within(30s, [&] { return cluster_->job_field(job, "JobState") == "CANCELLED"; }));
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(cluster_->job_field(job, "JobState"), "CANCELLED");
  EXPECT_EQ(restarts(job), 0);
  run.submit(options({"--lease-timeout", "12"}));
  expect_complete(run);
}

TEST_F(SlurmTest, AnInputThatIsSpoiltInTheQueueFailsOnceWithItsMessage) {
  const ClusterRun run = new_run();
  std::filesystem::copy(root_ / "input.h5", root_ / "bad.h5", std::filesystem::copy_options::overwrite_existing);
  const std::string job = run.submit(options({"--input", root_ / "bad.h5"}), {"--hold"});
  std::ofstream(root_ / "bad.h5") << "no HDF5";
  cluster_->output_of({"scontrol", "release", job});
  ASSERT_TRUE(within(40s, [&] { return run.state() == "failed"; })) << run.status().dump(2);
  const Json status = run.status();
  EXPECT_EQ(status.at("exit_code"), 66);
  EXPECT_NE(status.at("message").get<std::string>().find("bad.h5"), std::string::npos) << status.dump(2);
  EXPECT_TRUE(within(10s, [&] { return cluster_->job_field(job, "JobState") == "FAILED"; }));
  EXPECT_EQ(restarts(job), 0);
}

TEST_F(SlurmTest, TenAtOnceOfWhichTwoWantTheSameRun) {
  const Words one_rank = {"--nodes", "1", "--tasks-per-node", "1", "--ep", "1"};
  // The two that share a run last longer than it takes to see that a lease is renewed.
  const ClusterRun shared = new_run();
  Words beside = one_rank;
  beside.push_back("--no-dependency");
  const std::string jobs[] = {shared.submit(slow_options(beside)), shared.submit(slow_options(beside))};
  std::vector<ClusterRun> runs;
  for (int i = 0; i < 8; ++i) {
    runs.emplace_back(*cluster_, root_ / ("ten-" + std::to_string(i)));
    runs.back().submit(options(one_rank));
  }
  for (const ClusterRun& run : runs) expect_complete(run);
  expect_complete(shared);
  const auto ended = [&](const std::string& job) {
    const std::string state = cluster_->job_field(job, "JobState");
    return state == "COMPLETED" || state == "FAILED";
  };
  ASSERT_TRUE(within(90s, [&] { return ended(jobs[0]) && ended(jobs[1]); }));
  const bool first_won = cluster_->job_field(jobs[0], "JobState") == "COMPLETED";
  const std::string &winner = jobs[first_won ? 0 : 1], &loser = jobs[first_won ? 1 : 0];
  EXPECT_EQ(cluster_->job_field(loser, "ExitCode"), "78:0");
  const std::string log = shared.file("attempts/" + loser + ".0/stderr.log");
  EXPECT_NE(log.find("job " + winner), std::string::npos) << log;
}

TEST_F(SlurmTest, WhatNoNodeWillEverDoForIsRefused) {
  const auto submit = [&](const Words& more) {
    Words words = {SWITCHYARD_PROGRAM, "submit", "score", "--model", SWITCHYARD_DEMO_MODEL, "--run", root_ / "never"};
    words.insert(words.end(), {"--input", root_ / "input.h5"});
    words.insert(words.end(), more.begin(), more.end());
    return cluster_->exec(words);
  };
  for (const Words& more : {Words{"--nodes", "5"},
                            {"--nodes", "5", "--partition", "urgent"},
                            {"--nodes", "5", "--", "--partition=urgent,batch"},
                            {"--tasks-per-node", "1", "--cpus-per-task", "5"}}) {
    const auto result = submit(more);
    EXPECT_EQ(result.exit_code, 64) << result.err;
    EXPECT_NE(result.err.find("would wait for ever: partition "), std::string::npos) << result.err;
  }
  const auto fits = submit({"--nodes", "4", "--partition", "urgent", "--dry-run"});
  EXPECT_EQ(fits.exit_code, 0) << fits.err;
  EXPECT_EQ(fits.err.find("sinfo"), std::string::npos) << fits.err;
}

TEST_F(SlurmTest, ASecondJobForARunWaitsForTheFirst) {
  const ClusterRun run = new_run();
  const std::string first = run.submit(slow_options());
  ASSERT_TRUE(has_begun(run, 1));
  const std::string second = run.submit(options());
  EXPECT_TRUE(cluster_->job_field(second, "Dependency").starts_with("afterany:" + first));
  // Meanwhile a set-up that fails: said where a person looks.
  const ClusterRun other(*cluster_, root_ / "set-up");
  other.submit(options({"--setup", "no_such_program --now"}));
  EXPECT_TRUE(within(20s, [&] { return other.state() == "failed"; })) << other.status().dump(2);
  const Json status = other.status();
  EXPECT_EQ(status.at("exit_code"), 69);
  EXPECT_NE(status.at("message").get<std::string>().find("no_such_program --now"), std::string::npos) << status.dump(2);
  cluster_->output_of({"scancel", first});
  expect_complete(run);
  EXPECT_TRUE(within(10s, [&] { return cluster_->job_field(second, "JobState") == "COMPLETED"; }));
}

TEST_F(SlurmTest, ARunDirectoryThatNodesDoNotSeeIsSaid) {
  if (!cluster_->has_namespaces()) GTEST_SKIP() << "no /tmp of each node's own here";
  const ClusterRun run(*cluster_, "/tmp/run");
  const std::string job = run.submit(options());
  EXPECT_TRUE(within(30s, [&] { return cluster_->job_field(job, "JobState") == "FAILED"; }));
  EXPECT_EQ(cluster_->job_field(job, "ExitCode"), "69:0");
  const std::string text = "does not see the run directory /tmp/run";
  EXPECT_NE(cluster_->exec({"scontrol", "show", "job", job}).out.find(text), std::string::npos);
  const std::filesystem::path log = "slurm-" + job + ".out";  // where it was submitted
  EXPECT_NE(test::bytes_of_file(log).find(text), std::string::npos);
  std::filesystem::remove(log);
}

TEST_F(SlurmTest, StatusFollowsTheJobAtWorkAndNamesTheOthers) {
  const ClusterRun run = new_run(), held(*cluster_, root_ / "held");
  const std::string job = run.submit(slow_options());
  cluster_->output_of({"scancel", held.submit(options(), {"--hold"})});
  EXPECT_EQ(held.state(), "cancelled") << held.status().dump(2);
  ASSERT_TRUE(has_begun(run));
  const std::string refused = run.submit(options({"--no-dependency"}));
  const auto other = [&](const std::string& field) {
    return run.status().at("other_jobs").at(0).at(field).get<std::string>();
  };
  ASSERT_TRUE(within(20s, [&] { return other("state") == "RUNNING"; })) << run.status().dump(2);
  EXPECT_EQ(other("id"), refused);
  EXPECT_EQ(run.status().at("job"), job);
  EXPECT_EQ(run.state(), "running");
  ASSERT_TRUE(within(30s, [&] { return other("state") == "FAILED"; })) << run.status().dump(2);
  EXPECT_NE(other("why").find("exit code 78: run directory"), std::string::npos) << other("why");
  EXPECT_EQ(run.status().at("job"), job);
  cluster_->output_of({"scancel", job});
  EXPECT_TRUE(within(30s, [&] { return run.state() == "interrupted"; })) << run.status().dump(2);
}

TEST_F(SlurmTest, ARunOfAScriptOfOnesOwnHasItsJobInStatus) {
  const ClusterRun run = new_run();
  const std::string command = std::string("LD_PRELOAD=") + SWITCHYARD_SLOW_DISK +
                              " SLOW_READ_MILLISECONDS=5 srun --mpi=pmix " + SWITCHYARD_PROGRAM +
                              " score --dtype f32 --chunk-records 120 --ep 4 --model " + SWITCHYARD_DEMO_MODEL +
                              " --input " + (root_ / "input.h5").native() + " --run " + run.path().native();
  const std::string job = cluster_->output_of({"sbatch", "--parsable", "--requeue", "--nodes=2", "--ntasks-per-node=2",
                                               "--output=/dev/null", "--wrap=" + command});
  ASSERT_TRUE(has_begun(run));
  EXPECT_EQ(run.state(), "running");
  EXPECT_EQ(run.status().at("job"), job);
  cluster_->output_of({"scontrol", "requeue", job});
  const Json status = run.status();
  EXPECT_EQ(status.at("state"), "requeued") << status.dump(2);
  EXPECT_EQ(status.at("job"), job);
  EXPECT_GE(status.at("chunks_done"), 3);
}

TEST_F(SlurmTest, DoctorFindsPlantedFaults) {
  const std::string program = SWITCHYARD_PROGRAM, shared = root_;
  const auto doctor = [&](Words srun, const Words& more) {
    srun.insert(srun.begin(), "srun");
    srun.insert(srun.end(), more.begin(), more.end());
    return cluster_->exec(srun);
  };
  const auto healthy = doctor({"-N2", "-n2", "--mpi=pmix", program}, {"doctor", "--run", shared});
  EXPECT_EQ(healthy.exit_code, 0) << healthy.out << healthy.err;
  EXPECT_EQ(healthy.out.find("FAULT"), std::string::npos) << healthy.out;

  const auto finds = [&](const std::string& subject, const test::ProcessResult& result) {
    EXPECT_EQ(result.exit_code, 69) << subject << result.out << result.err;
    EXPECT_NE(result.out.find("FAULT    " + subject), std::string::npos) << subject << ":\n"
                                                                         << result.out << result.err;
  };
  finds("world size", doctor({"-N1", "-n4", "--mpi=none", program}, {"doctor"}));
  finds("world size", doctor({"-N1", "-n4", "--mpi=pmi2", program}, {"doctor"}));
  finds("run directory", doctor({"-N2", "-n2", "--mpi=pmix", program}, {"doctor", "--run", "/tmp"}));
  finds("cores", doctor({"-N1", "-n1", "--mpi=pmix", "taskset", "-c", "0", program}, {"doctor", "--threads", "4"}));
  // The test cluster's GPUs are names only.
  finds("GPUs", doctor({"-N2", "--ntasks-per-node=2", "--gpus-per-node=4", "--mpi=pmix", program}, {"doctor"}));
  // Another build on one node: the same program with a byte behind it.
  test::run({"sh", "-c", "cp " + program + " " + shared + "/other && echo >> " + shared + "/other"});
  finds("program",
        doctor({"-N2", "-n2", "--mpi=pmix", "sh", "-c"}, {"if [ $SLURM_NODEID = 0 ]; then exec " + program +
                                                          " doctor; else exec " + shared + "/other doctor; fi"}));

  // Without ranks elsewhere it cannot know what is shared, and looks at Slurm.
  const std::string site = root_ / "site.cfg";
  const auto alone = cluster_->exec({SWITCHYARD_PROGRAM, "doctor", "--run", "/tmp", "--write-site", site});
  EXPECT_EQ(alone.exit_code, 0) << alone.out << alone.err;
  EXPECT_EQ(alone.out.find("is shared"), std::string::npos) << alone.out;
  EXPECT_NE(alone.out.find("batch (default): 4 nodes of 4 cores"), std::string::npos) << alone.out;
  EXPECT_NE(alone.out.find("pmix"), std::string::npos) << alone.out;
  const auto again = cluster_->exec({SWITCHYARD_PROGRAM, "doctor", "--write-site", site});
  EXPECT_EQ(again.exit_code, 73) << again.out << again.err;
  Words submit = {SWITCHYARD_PROGRAM, "submit", "score", "--model", SWITCHYARD_DEMO_MODEL, "--dry-run", "--site", site};
  submit.insert(submit.end(), {"--input", root_ / "input.h5", "--run", root_ / "dry"});
  EXPECT_NE(cluster_->output_of(submit).find("#SBATCH --partition=batch\n"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::test
