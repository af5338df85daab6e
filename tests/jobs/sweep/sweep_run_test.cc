// Whole sweeps on this machine.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "io/hdf5.h"
#include "tests/support/sweep_case.h"

namespace switchyard::test {
namespace {

class SweepRunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { case_ = new SweepCase; }
  static void TearDownTestSuite() {
    delete case_;
    case_ = nullptr;
  }
  static ProcessResult sweep(const std::filesystem::path& file, const std::string& run,
                             const std::vector<std::string>& more = {"--local"}) {
    return test::run(case_->command(file, run, more));
  }
  static void expect(const ProcessResult& result, int code, std::initializer_list<std::string> named = {}) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << ": " << result.err;
  }
  static std::string text(const std::string& name) { return bytes_of_file(case_->path(name)); }

  inline static const SweepCase* case_ = nullptr;
};

TEST_F(SweepRunTest, StoppedKilledAndResumedItLeavesWhatOneInPeaceDoes) {
  const std::filesystem::path file = case_->file("sweep.cfg");
  expect(sweep(file, "quiet"), 0, {"6 of 6 points are complete"});
  const auto points_done = [&] {
    const std::filesystem::path folder = case_->path("disturbed/collected");
    return std::filesystem::exists(folder) ? std::distance(std::filesystem::directory_iterator(folder), {}) : 0;
  };
  for (const auto& [signal, code] : {std::pair(SIGTERM, 75), {SIGKILL, 137}}) {
    Process process(case_->command(file, "disturbed"));
    const auto before = points_done();
    while (points_done() == before && process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ::kill(process.pid(), signal);
    EXPECT_EQ(process.wait().exit_code, code);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  ASSERT_LT(points_done(), 6) << "too short to be disturbed";
  expect(sweep(file, "disturbed"), 0, {"6 of 6 points are complete"});
  expect_same_files(case_->models("disturbed"), case_->models("quiet"));
  expect(sweep(file, "disturbed"), 0, {"6 of 6 points are complete"});  // nothing is left to do

  const h5::Reader table(case_->path("disturbed/sweep.h5")), other(case_->path("quiet/sweep.h5"));
  std::vector<double> losses(6), of_other(6);
  table.open("metric/held.loss").read(0, std::span(losses));
  other.open("metric/held.loss").read(0, std::span(of_other));
  EXPECT_EQ(losses, of_other);
  EXPECT_NE(losses[0], losses[3]);
  EXPECT_EQ(table.open("option/freeze").read_strings(0, 6),
            (std::vector<std::string>{"0", "0.5", "0.9", "0", "0.5", "0.9"}));
  const std::string page = text("disturbed/report.html");
  for (const char* part :
       {"Ranked by held.loss", "held.loss by freeze", "What is kept of old data", "switchyard train --run"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST_F(SweepRunTest, AMetricThatNoPointWillHaveIsNamedBeforeAnythingRuns) {
  std::string text = bytes_of_file(case_->file("metrics.cfg", "seed = [5]\n"));
  const std::string held_out = "eval-data = ", metric = "metric = held.loss";
  text.insert(text.find(held_out) + held_out.size(), case_->path("learn.txt").native() + "\neval-data = ");
  const auto with_metric = [&](const std::string& name) {
    std::string changed = text;
    changed.replace(changed.find(metric), metric.size(), "metric = " + name);
    const std::filesystem::path path = case_->path("metrics.cfg");
    std::ofstream(path) << changed;
    return path;
  };
  const ProcessResult refused = sweep(with_metric("eval_loss.learnt"), "metrics");
  expect(refused, 64, {"metrics.cfg: metric = eval_loss.learnt: no point has it; there are"});
  EXPECT_FALSE(std::filesystem::exists(case_->path("metrics")));
  expect(sweep(with_metric("eval_loss.learn"), "metrics"), 0);
  std::string header = SweepRunTest::text("metrics/sweep.csv");
  header = header.substr(0, header.find('\n'));
  const size_t first = header.find("state,") + 6, end = header.find(",run");
  ASSERT_LT(first, end) << header;
  std::istringstream names(header.substr(first, end - first));
  int count = 0;
  for (std::string name; std::getline(names, name, ','); ++count)
    EXPECT_NE(refused.err.find(name), std::string::npos) << name << ": " << refused.err;
  EXPECT_GE(count, 16);
}

TEST_F(SweepRunTest, WhatDoesNotFitIsRefusedByName) {
  const std::filesystem::path file = case_->file("one.cfg", "seed = [5]\n");
  expect(sweep(file, "fit", {"--local", "--dry-run"}), 0);
  expect(sweep(file, "fit"), 0);
  expect(sweep(case_->file("other.cfg", "seed = [5]\n", "1e-3, 2e-2"), "fit"), 78,
         {"fit/manifest.json", "learning-rate", "[1e-3, 1e-2]", "[1e-3, 2e-2]"});
  expect(sweep(case_->file("metric.cfg", "seed = [5]\nbetter = lower\n"), "fit"), 0);
  std::filesystem::remove_all(case_->path("gone"));
  expect(sweep(case_->file("gone.cfg", "fisher-old = gone/fisher.h5\newc = 1\n"), "gone"), 66,
         {"gone.cfg", "point 0", "gone/fisher.h5"});
  std::ofstream(case_->path("broken.h5")) << "no HDF5";
  expect(sweep(case_->file("gone.cfg", "fisher-old = " + case_->path("broken.h5").native() + "\newc = 1\n"), "gone"),
         66, {"broken.h5"});
  const std::filesystem::path follow_up = case_->file("gone.cfg", "then = score --run other --input gone.h5\n");
  expect(sweep(follow_up, "gone"), 66, {"gone.cfg", "point 0", "gone.h5"});
  expect(sweep(follow_up, "gone", {"--dry-run", "--", "--dependency=afterok:1"}), 0);
  EXPECT_FALSE(std::filesystem::exists(case_->path("gone")));
}

TEST_F(SweepRunTest, APointThatFailsIsShownAndTheOthersGoOn) {
  std::ofstream(case_->path("empty.jsonl")) << "{\"text\": \"\"}\n";
  const std::filesystem::path file = case_->path("failing.cfg");
  std::ofstream(file) << "model = " << case_->path("base/model").native() << "\ndata = ["
                      << case_->path("learn.txt").native() << ", " << case_->path("empty.jsonl").native()
                      << "]\ntokenizer = bytes\nmax-tokens = 32\nstep-records = 4\nmax-steps = 1\nthreads = 1\n";
  expect(sweep(file, "failing"), 66, {"1 of 2 points failed", "point 1", "empty.jsonl"});
  const std::string csv = text("failing/sweep.csv");
  EXPECT_NE(csv.find("complete"), std::string::npos);
  EXPECT_NE(text("failing/report.html").find("empty.jsonl"), std::string::npos);
  EXPECT_NE(text("failing/state.json").find("1 of 2 points failed"), std::string::npos);
  const ProcessResult collected = test::run({SWITCHYARD_PROGRAM, "collect", case_->path("failing")});
  expect(collected, 0, {"1 of 2 points are complete"});
}

TEST_F(SweepRunTest, RejectsOfAPointsRunAreToldAndCounted) {
  std::ofstream(case_->path("some.jsonl")) << "{\"text\": \"a text\"}\n{\"text\": 7}\n";
  const std::filesystem::path file = case_->path("rejects.cfg");
  std::ofstream(file) << "model = " << case_->path("base/model").native()
                      << "\ndata = " << case_->path("learn.txt").native()
                      << "\ntokenizer = bytes\nmax-tokens = 32\nstep-records = 4\nmax-steps = 1\nthreads = 1\n"
                      << "then = score --input " << case_->path("some.jsonl").native()
                      << " --tokenizer bytes --threads 1\n";
  expect(sweep(file, "rejects"), 65, {"point 0", "score is complete, but has more rejects than it may have"});
  EXPECT_NE(text("rejects/sweep.csv").find("score.rejects"), std::string::npos);
  EXPECT_NE(text("rejects/report.html").find("complete: score: 1 reject"), std::string::npos);
  expect(test::run({SWITCHYARD_PROGRAM, "verify", case_->path("rejects")}), 64, {"found a sweep"});
}

}  // namespace
}  // namespace switchyard::test
