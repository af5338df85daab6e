#include "jobs/batch/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// A healthy rank on its host.
Json rank(int index, const std::string& host) {
  return {{"rank", index},
          {"host", host},
          {"world_size", 2},
          {"launcher", "SLURM_STEP_NUM_TASKS"},
          {"launcher_ranks", 2},
          {"mpi_type", "pmix"},
          {"binary", "abc"},
          {"versions", {{"version", "1"}, {"cuda", "not in this build"}}},
          {"cpu_isa", "avx512"},
          {"affinity", std::to_string(2 * index) + "," + std::to_string(2 * index + 1)},
          {"cores", 2},
          {"threads", 2},
          {"memory", int64_t{8} << 30},
          {"gpus", 0},
          {"allotted_gpus", 0},
          {"usable_gpus", 0},
          {"why_no_gpus", "this build has no CUDA"},
          {"job", "17"},
          {"knows_end", true},
          {"clock", 1000.0},
          {"run", {{"path", "/runs"}, {"seen", 2}, {"error", ""}}}};
}

std::vector<Json> healthy() {
  return {rank(0, "n1"), rank(1, "n2")};
}

void with_gpus(std::vector<Json>& ranks, int there, int usable, const std::string& cuda) {
  for (Json& rank : ranks) {
    rank["gpus"] = there;
    rank["allotted_gpus"] = there;
    rank["usable_gpus"] = usable;
    rank["why_no_gpus"] = "no CUDA driver";
    rank["versions"]["cuda"] = cuda;
  }
}

/// The one finding that is not ok; fails the test if there is none or more.
Finding only_finding(const std::vector<Json>& ranks) {
  std::vector<Finding> bad;
  for (const Finding& finding : diagnose(ranks))
    if (finding.level != Finding::ok) bad.push_back(finding);
  EXPECT_EQ(bad.size(), 1u);
  return bad.empty() ? Finding{} : bad.front();
}

TEST(DoctorTest, FindsNothingWhereNothingIs) {
  for (const Finding& finding : diagnose(healthy())) {
    EXPECT_EQ(finding.level, Finding::ok) << finding.subject << ": " << finding.text;
    EXPECT_EQ(finding.advice, "");
  }
}

TEST(DoctorTest, FindsTheTasksOfAnotherMpisLauncher) {
  Json alone = rank(0, "n1");
  alone.update({{"world_size", 1}, {"launcher", "PMI_SIZE"}, {"launcher_ranks", 4}});
  const Finding finding = only_finding({alone});
  EXPECT_EQ(finding.level, Finding::fault);
  EXPECT_EQ(finding.text, "a launcher that sets PMI_SIZE started 4 tasks, but MPI finds 1 of them");
  EXPECT_NE(finding.advice.find("mpirun of its own MPI"), std::string::npos) << finding.advice;
}

TEST(DoctorTest, FindsEachFaultAndOnlyIt) {
  struct Case {
    const char *subject, *named;
    Finding::Level level;
    void (*plant)(std::vector<Json>&);
  };
  const Case cases[] = {
      {"world size", "4 tasks", Finding::fault,
       [](auto& r) {
         for (Json& one : r) one["launcher_ranks"] = 4;
       }},
      {"program", "n2", Finding::fault, [](auto& r) { r[1]["binary"] = "other"; }},
      {"libraries", "n2", Finding::fault, [](auto& r) { r[1]["versions"]["version"] = "2"; }},
      {"instruction sets", "avx2", Finding::fault, [](auto& r) { r[1]["cpu_isa"] = "avx2"; }},
      {"run directory", "n2", Finding::fault, [](auto& r) { r[1]["run"]["seen"] = 1; }},
      {"run directory", "read-only", Finding::fault, [](auto& r) { r[0]["run"]["error"] = "read-only"; }},
      {"examination", "n2 cannot tell its memory: no", Finding::fault,
       [](auto& r) { r[1]["failures"] = {"memory: no"}; }},
      {"cores", "n1", Finding::fault, [](auto& r) { r[0]["threads"] = 4; }},
      {"cores", "2 rank(s)", Finding::fault,
       [](auto& r) {
         r[1]["host"] = "n1";
         r[1]["affinity"] = r[0]["affinity"];
       }},
      {"GPUs", "n1", Finding::fault, [](auto& r) { r[0]["gpus"] = 4; }},
      {"GPUs", "no CUDA", Finding::warning, [](auto& r) { with_gpus(r, 4, 0, "not in this build"); }},
      {"GPUs", "allotted 4 on n1", Finding::fault, [](auto& r) { r[0]["allotted_gpus"] = 4; }},
      {"GPUs", "driver", Finding::fault, [](auto& r) { with_gpus(r, 4, 0, "13.0"); }},
      {"GPUs", "2 ranks on n1 see 1 of its 4", Finding::warning,
       [](auto& r) {
         with_gpus(r, 4, 1, "13.0");
         r[1]["host"] = "n1";
       }},
      {"clocks", "3.0 s", Finding::warning, [](auto& r) { r[1]["clock"] = 1003.0; }},
      {"time limit", "SLURM_JOB_END_TIME", Finding::warning, [](auto& r) { r[0]["knows_end"] = false; }},
  };
  for (const Case& c : cases) {
    auto ranks = healthy();
    c.plant(ranks);
    const Finding finding = only_finding(ranks);
    EXPECT_EQ(finding.subject, c.subject);
    EXPECT_EQ(finding.level, c.level) << c.subject;
    EXPECT_NE(finding.text.find(c.named), std::string::npos) << finding.text;
    EXPECT_NE(finding.advice, "") << c.subject;
  }
}

TEST(DoctorTest, ADirectoryThatCannotBeReachedIsAFinding) {
  const test::TemporaryDirectory directory;
  std::filesystem::create_symlink("loop", directory / "loop");
  const auto world = make_self_communicator();
  for (const std::string run : {directory / "loop", directory / "gone", directory / std::string(300, 'x')}) {
    DoctorOptions options;
    options.run = run;
    const auto findings = diagnose({examine_rank(*world, options)});
    const auto found = std::ranges::find(findings, "run directory", &Finding::subject);
    ASSERT_NE(found, findings.end());
    EXPECT_EQ(found->level, Finding::fault);
    EXPECT_NE(found->text.find(run), std::string::npos) << found->text;
  }
}

}  // namespace
}  // namespace switchyard
