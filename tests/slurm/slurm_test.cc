// Jobs on a real Slurm cluster of four nodes: submitted, preempted, cut off, stopped, cancelled; and always the same
// bits.
#include <gtest/gtest.h>
#include <signal.h>

#include <set>
#include <thread>

#include "tests/slurm/cluster.h"
#include "tests/support/score_case.h"

namespace switchyard {
namespace {

using test::ClusterRun;
using test::datasets;
using test::within;
using test::Words;
using namespace std::chrono_literals;

class SlurmTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<test::Cluster>();
    if (!cluster_->problem().empty()) return;
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    test::write_text_input(root_ / "input.h5", 2000, 300);
    const auto result =
        test::score({root_ / "input.h5", root_ / "quiet", 0, {"--dtype", "f32", "--chunk-records", "20"}});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expected_ = datasets(root_ / "quiet/results.h5");
  }
  static void TearDownTestSuite() { cluster_.reset(); }
  void SetUp() override {
    if (!cluster_->problem().empty()) GTEST_SKIP() << cluster_->problem();
  }
  void TearDown() override {
    if (cluster_->problem().empty()) cluster_->exec({"scancel", "--user", "root"});
  }

  ClusterRun new_run() const {
    return {*cluster_, root_ / ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  }
  /// What all jobs here have in common; `more` comes behind.
  static Words options(const Words& more = {}) {
    Words words = {"--input",
                   root_ / "input.h5",
                   "--dtype",
                   "f32",
                   "--chunk-records",
                   "20",
                   "--nodes",
                   "2",
                   "--tasks-per-node",
                   "2",
                   "--cpus-per-task",
                   "1",
                   "--ep",
                   "4",
                   "--term-grace",
                   "4"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static bool has_begun(const ClusterRun& run, int shards = 3) {
    return within(60s, [&] { return run.shards() >= shards; });
  }
  static void expect_complete(const ClusterRun& run, std::chrono::seconds timeout = 150s) {
    ASSERT_TRUE(within(timeout, [&] { return run.state() == "complete"; })) << run.status().dump(2);
    const auto actual = datasets(run.path() / "results.h5");
    for (const auto& [name, bytes] : expected_) EXPECT_TRUE(actual.at(name) == bytes) << name;
    const auto verified = test::run({SWITCHYARD_PROGRAM, "verify", run.path()});
    EXPECT_EQ(verified.exit_code, 0) << verified.out;
  }
  static int restarts(const std::string& job) { return std::atoi(cluster_->job_field(job, "Restarts").c_str()); }

  static inline std::unique_ptr<test::Cluster> cluster_;
  static inline const std::filesystem::path root_ = SWITCHYARD_SLURM_RUNS;
  static inline std::map<std::string, std::string> expected_;
};

TEST_F(SlurmTest, ASubmittedJobCompletes) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options());
  expect_complete(run);
  EXPECT_TRUE(within(10s, [&] { return cluster_->job_field(job, "JobState") == "COMPLETED"; }));
  EXPECT_NE(run.file("attempts/" + job + ".0/stderr.log").find("4 ranks"), std::string::npos);
  EXPECT_EQ(parse_json(run.file("attempts/" + job + ".0/end.json"), "end").at("requeue"), false);
}

TEST_F(SlurmTest, APreemptedJobGoesOn) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options({"--nodes", "4", "--tasks-per-node", "1"}), {"--exclusive"});
  ASSERT_TRUE(has_begun(run));
  cluster_->output_of({"sbatch", "--parsable", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null",
                       "--wrap=sleep 2"});
  ASSERT_TRUE(within(40s, [&] { return restarts(job) == 1; }));
  expect_complete(run);
}

TEST_F(SlurmTest, AnOperatorsRequeueIsSurvived) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options());
  ASSERT_TRUE(has_begun(run));
  cluster_->output_of({"scontrol", "requeue", job});
  expect_complete(run);
  EXPECT_EQ(restarts(job), 1);
}

TEST_F(SlurmTest, TheTimeLimitIsSeenComing) {
  const ClusterRun run = new_run();
  // The limit is a minute, and Slurm may tell it up to a minute early: the ranks are told at once, or soon.
  const std::string job = run.submit(options({"--time", "1", "--signal-seconds", "55"}));
  ASSERT_TRUE(within(90s, [&] { return restarts(job) >= 1 || run.state() == "complete"; }));
  ASSERT_GE(restarts(job), 1) << "the run was too short to meet its limit";
  EXPECT_NE(run.file("attempts/" + job + ".0/end.json").find("stopped on request"), std::string::npos);
  cluster_->output_of({"scontrol", "update", "JobId=" + job, "TimeLimit=10"});
  expect_complete(run);
}

TEST_F(SlurmTest, ACancelledJobStaysCancelledAndResumes) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options());
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

TEST_F(SlurmTest, BadInputFailsOnceWithItsMessage) {
  const ClusterRun run = new_run();
  const std::string job = run.submit(options({"--input", root_ / "missing.h5"}));
  ASSERT_TRUE(within(40s, [&] { return run.state() == "failed"; })) << run.status().dump(2);
  const Json status = run.status();
  EXPECT_EQ(status.at("exit_code"), 66);
  EXPECT_NE(status.at("message").get<std::string>().find("missing.h5"), std::string::npos) << status.dump(2);
  EXPECT_TRUE(within(10s, [&] { return cluster_->job_field(job, "JobState") == "FAILED"; }));
  EXPECT_EQ(restarts(job), 0);
}

class NodeLoss : public SlurmTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(NodeLoss, IsSurvived) {
  if (GetParam() == std::string("cut") && !cluster_->has_namespaces()) GTEST_SKIP() << "no network namespaces here";
  const ClusterRun run(*cluster_, root_ / (std::string("lost-by-") + GetParam()));
  const std::string job = run.submit(options(), {"--nodelist=n1,n2"});
  ASSERT_TRUE(has_begun(run));
  cluster_->control({GetParam(), "n2"});
  cluster_->output_of({"scontrol", "update", "JobId=" + job, "ReqNodeList="});
  const bool requeued = within(60s, [&] { return restarts(job) >= 1; });
  cluster_->control({"heal", "n2"});
  ASSERT_TRUE(requeued) << run.status().dump(2);
  expect_complete(run);
  EXPECT_TRUE(within(60s, [&] { return cluster_->control({"status"}).exit_code == 0; }));
}
INSTANTIATE_TEST_SUITE_P(Nodes, NodeLoss, ::testing::Values("cut", "kill-slurmd"),
                         [](const auto& p) { return p.param == std::string("cut") ? "Cut" : "SlurmdKilled"; });

class StoppedRank : public SlurmTest, public ::testing::WithParamInterface<int> {};

TEST_P(StoppedRank, IsNamed) {
  constexpr int kTimeout = 8;
  const int rank = GetParam();
  const ClusterRun run(*cluster_, root_ / ("stopped-" + std::to_string(rank)));
  const std::string job = run.submit(options({"--comm-timeout", std::to_string(kTimeout)}));
  ASSERT_TRUE(has_begun(run));
  const int pid = cluster_->rank_pids(job, 4).at(static_cast<size_t>(rank));
  ASSERT_GT(pid, 0);
  const auto stopped = std::chrono::steady_clock::now();
  ::kill(pid, SIGSTOP);
  const std::string end = "attempts/" + job + ".0/end.json";
  ASSERT_TRUE(within(std::chrono::seconds(kTimeout + 10), [&] { return !run.file(end).empty(); }))
      << run.status().dump(2);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - stopped).count();
  RecordProperty("seconds_to_settled", std::to_string(seconds));
  const Json ended = parse_json(run.file(end), "end");
  EXPECT_EQ(ended.at("exit_code"), 76) << ended.dump();
  EXPECT_EQ(ended.at("requeue"), true);
  const auto message = ended.at("message").get<std::string>();
  EXPECT_NE(message.find("rank " + std::to_string(rank) + " on n"), std::string::npos) << message;
  EXPECT_NE(message.find("no sign of life"), std::string::npos) << message;
  expect_complete(run);
}
INSTANTIATE_TEST_SUITE_P(Ranks, StoppedRank, ::testing::Values(0, 3));

TEST_F(SlurmTest, ASlowLoadIsNoHang) {
  const ClusterRun run = new_run();
  // Rank 0 reads everything slowly: each read takes 20 ms, and it has hundreds of tensors to load.
  const std::string job =
      run.submit(options({"--comm-timeout", "3", "--setup", std::string("export LD_PRELOAD=") + SWITCHYARD_SLOW_READ,
                          "--setup", "export SLOW_READ_MILLISECONDS=20"}));
  expect_complete(run);
  EXPECT_EQ(restarts(job), 0);
  const std::string log = run.file("attempts/" + job + ".0/stderr.log");
  const size_t at = log.find(" read in ");
  ASSERT_NE(at, std::string::npos) << log;
  EXPECT_GT(std::atof(log.c_str() + at + 9), 3.0) << "the load was too fast to prove anything";
}

TEST_F(SlurmTest, TenAtOnceOfWhichTwoWantTheSameRun) {
  std::vector<ClusterRun> runs;
  std::vector<std::string> jobs;
  const Words small = options({"--nodes", "1", "--tasks-per-node", "1", "--ep", "1"});
  for (int i = 0; i < 10; ++i) {
    runs.emplace_back(*cluster_, root_ / ("ten-" + std::to_string(std::min(i, 8))));  // the last two share one
    jobs.push_back(runs.back().submit(small));
  }
  for (int i = 0; i < 8; ++i) expect_complete(runs[static_cast<size_t>(i)], 200s);
  expect_complete(runs[8], 200s);
  const auto ended = [&](const std::string& job) {
    const std::string state = cluster_->job_field(job, "JobState");
    return state == "COMPLETED" || state == "FAILED";
  };
  ASSERT_TRUE(within(90s, [&] { return ended(jobs[8]) && ended(jobs[9]); }));
  const bool first_won = cluster_->job_field(jobs[8], "JobState") == "COMPLETED";
  const std::string &winner = jobs[first_won ? 8 : 9], &loser = jobs[first_won ? 9 : 8];
  EXPECT_EQ(cluster_->job_field(loser, "ExitCode"), "78:0");
  const std::string log = runs[8].file("attempts/" + loser + ".0/stderr.log");
  EXPECT_NE(log.find("job " + winner), std::string::npos) << log;
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
  // Another build on one node: the same program with a byte behind it.
  test::run({"sh", "-c", "cp " + program + " " + shared + "/other && echo >> " + shared + "/other"});
  finds("program",
        doctor({"-N2", "-n2", "--mpi=pmix", "sh", "-c"}, {"if [ $SLURM_NODEID = 0 ]; then exec " + program +
                                                          " doctor; else exec " + shared + "/other doctor; fi"}));
}

}  // namespace
}  // namespace switchyard
