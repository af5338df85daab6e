// A sweep as a job array that is disturbed leaves the bits of one on a single machine that was left in peace.
#include <gtest/gtest.h>

#include <optional>

#include "tests/slurm/slurm_fixture.h"
#include "tests/support/sweep_case.h"

namespace switchyard::test {
namespace {

class SweepJob : public SlurmTest {
 protected:
  void SetUp() override {
    SlurmTest::SetUp();
    if (!IsSkipped()) case_.emplace(root_);  // where all nodes see it
  }
  ProcessResult submit(const std::filesystem::path& file, const std::string& run) const {
    return cluster_->exec(case_->command(file, run, {"--nodes", "1", "--tasks-per-node", "2", "--time", "5"}));
  }
  std::string table(const std::string& run) const {
    cluster_->output_of({SWITCHYARD_PROGRAM, "collect", case_->path(run)});
    return bytes_of_file(case_->path(run + "/sweep.csv"));
  }
  static int64_t count(const std::string& text, std::string_view word) {
    int64_t times = 0;
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++times;
    return times;
  }
  /// What all attempts said: why a point is not complete.
  std::string complaints(const std::string& run) const {
    std::string text;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(case_->path(run + "/points"))) {
      const std::filesystem::path path = entry.path();
      if (path.filename() == "stderr.log" || path.filename() == "state.json" || path.filename() == "end.json")
        text += path.native() + ":\n" + bytes_of_file(path) + "\n";
    }
    return text;
  }
  bool waits() const { return !cluster_->output_of({"squeue", "--noheader"}).empty(); }

  std::optional<SweepCase> case_;
};

TEST_F(SweepJob, CutCancelledAndSubmittedAgainHasTheBitsOfALocalOne) {
  const std::filesystem::path file = case_->file("sweep.cfg");
  EXPECT_EQ(test::run(case_->command(file, "local")).exit_code, 0);
  const ProcessResult first = submit(file, "array");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_NE(first.err.find("6 points, array 0-5"), std::string::npos) << first.err;
  const ProcessResult again = submit(file, "array");
  EXPECT_NE(again.err.find("6 in hand, 0 to submit"), std::string::npos) << again.err;
  const std::string job = first.out.substr(0, first.out.find('\n'));
  cluster_->output_of({"scancel", job + "_5"});
  ASSERT_TRUE(within(60s, [&] { return !cluster_->job_field(job + "_0", "NodeList").empty(); }));
  const std::string node = cluster_->job_field(job + "_0", "NodeList");
  const bool is_cut = cluster_->has_namespaces() && node.starts_with("n");
  if (is_cut) cluster_->control({"cut", node});
  ASSERT_TRUE(within(150s, [&] { return !waits(); }));
  EXPECT_LT(count(table("array"), ",complete,"), 6);  // the cancelled one at least
  if (is_cut) cluster_->control({"heal", node});
  // Ranks on a node that is cut off still hold their runs: whoever comes meanwhile is refused, and is to come again.
  std::string said;
  for (int tries = 0; tries < 3 && count(table("array"), ",complete,") < 6; ++tries) {
    const ProcessResult third = submit(file, "array");
    EXPECT_EQ(third.exit_code, 0) << third.err;
    said += third.err;
    ASSERT_TRUE(within(150s, [&] { return !waits(); }));
  }
  EXPECT_EQ(count(table("array"), ",complete,"), 6) << table("array") << said << complaints("array");
  expect_same_files(case_->models("array"), case_->models("local"));
}

}  // namespace
}  // namespace switchyard::test
