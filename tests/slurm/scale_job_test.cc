// A scaling study as jobs that follow each other: one is cancelled, and a node is cut off.
#include <gtest/gtest.h>

#include "io/json.h"
#include "tests/slurm/slurm_fixture.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

class ScaleJob : public SlurmTest {
 protected:
  ProcessResult scale() const {
    return cluster_->exec({SWITCHYARD_PROGRAM,
                           "scale",
                           "score",
                           "--mode",
                           "strong",
                           "--nodes",
                           "1,2",
                           "--reps",
                           "2",
                           "--run",
                           study_,
                           "--model",
                           SWITCHYARD_DEMO_MODEL,
                           "--input",
                           root_ / "input.h5",
                           "--sample-tokens",
                           "20000",
                           "--dtype",
                           "f32",
                           "--ep",
                           "1",
                           "--cpus-per-task",
                           "1",
                           "--time",
                           "5",
                           "--lease-timeout",
                           "2"});
  }
  bool waits() const { return !cluster_->output_of({"squeue", "--noheader"}).empty(); }
  Json study() const {
    cluster_->output_of({SWITCHYARD_PROGRAM, "collect", study_});
    return parse_json(bytes_of_file(study_ / "scaling.json"), "scaling.json");
  }
  static int64_t complete(const Json& study) {
    return std::ranges::count_if(study.at("points"), [](const Json& point) { return point.at("state") == "complete"; });
  }

  const std::filesystem::path study_ = root_ / "study";
};

TEST_F(ScaleJob, CancelledAndCutItIsCompletedByTheSameCommand) {
  const ProcessResult first = scale();
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_NE(first.err.find("4 points: 0 complete, 0 in hand, 4 to submit"), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("at most 0.50 node-hours"), std::string::npos) << first.err;  // 2 · 1 + 2 · 2, of 5 minutes
  std::vector<std::string> jobs;
  for (auto [lines, line] = std::pair(std::istringstream(first.out), std::string()); std::getline(lines, line);)
    jobs.push_back(line);
  ASSERT_EQ(jobs.size(), 5U) << first.out;  // a job a point, and the one that collects
  EXPECT_NE(scale().err.find("4 in hand, 0 to submit"), std::string::npos);
  cluster_->output_of({"scancel", jobs[3]});
  ASSERT_TRUE(within(60s, [&] {
    return !cluster_->job_field(jobs[1], "NodeList").empty() && cluster_->job_field(jobs[1], "JobState") == "RUNNING";
  }));
  EXPECT_EQ(cluster_->job_field(jobs[2], "JobState"), "PENDING");  // one at a time
  const bool is_cut = cluster_->has_namespaces();
  if (is_cut) cluster_->control({"cut", "n1"});
  ASSERT_TRUE(within(180s, [&] { return !waits(); }));
  if (is_cut) cluster_->control({"heal", "n1"});
  EXPECT_TRUE(std::filesystem::exists(study_ / "report.html"));  // the last job's
  EXPECT_LT(complete(study()), 4);

  const ProcessResult again = scale();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  ASSERT_TRUE(within(150s, [&] { return !waits(); }));
  const Json ended = study();
  EXPECT_EQ(complete(ended), 4) << ended.dump(2) << first.err << again.err;
  EXPECT_EQ(ended.at("same_result_bits"), true);
  for (const Json& point : ended.at("points")) EXPECT_EQ(point.at("attempts"), 1) << point.dump(2);
}

}  // namespace
}  // namespace switchyard::test
