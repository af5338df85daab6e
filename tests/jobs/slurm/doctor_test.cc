#include "jobs/slurm/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "jobs/slurm/file_system.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// A healthy rank on its host.
Json rank(int index, const std::string& host) {
  return {
      {"rank", index},
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
      {"run", {{"path", "/runs"}, {"seen", 2}, {"error", ""}, {"file_system", "lustre"}, {"mount_point", "/runs"}}}};
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

Finding finding_of(const std::vector<Finding>& findings, const std::string& subject) {
  const auto found = std::ranges::find(findings, subject, &Finding::subject);
  if (found != findings.end()) return *found;
  ADD_FAILURE() << "no finding about " << subject;
  return {};
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
  alone.erase("run");
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

TEST(DoctorTest, OneHostDoesNotProveThatADirectoryIsShared) {
  struct Case {
    const char *file_system, *named;
    bool has_slurm;
    Finding::Level level;
  };
  const Case cases[] = {{"tmpfs", "unknown, and unlikely", true, Finding::warning},
                        {"overlay", "unknown, and unlikely", true, Finding::warning},
                        {"ext4", "unknown, and unlikely", false, Finding::unknown},
                        {"fuse.sshfs", "unknown (fuse.sshfs may be either)", true, Finding::unknown},
                        {"", "unknown (its file system cannot be told)", true, Finding::unknown},
                        {"lustre", "which nodes share", true, Finding::ok}};
  for (const Case& c : cases)
    for (const int ranks_on_it : {1, 2}) {
      std::vector<Json> ranks = healthy();
      ranks.resize(static_cast<size_t>(ranks_on_it));
      for (Json& rank : ranks) {
        rank.update({{"host", "n1"}, {"has_slurm", c.has_slurm}});
        rank["run"].update({{"file_system", c.file_system}, {"mount_point", "/m"}});
      }
      const Finding finding = finding_of(diagnose(ranks), "run directory");
      EXPECT_EQ(finding.level, c.level) << c.file_system;
      EXPECT_NE(finding.text.find(c.named), std::string::npos) << finding.text;
      EXPECT_EQ(finding.text.find("is shared"), std::string::npos) << finding.text;
    }
}

TEST(FileSystemTest, IsThatOfTheDeepestAndLatestMount) {
  const std::string mounts =
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "30 22 0:40 / /home rw shared:5 master:2 - nfs4 server:/home rw,vers=4.2\n"
      "31 30 0:41 / /home/my\\040data rw - autofs systemd-1 rw\n"
      "32 30 0:42 / /home/my\\040data rw - lustre mds@tcp:/fs rw\n"
      "not a mount\n";
  EXPECT_EQ(find_file_system("/home/ann", mounts).type, "nfs4");
  EXPECT_EQ(find_file_system("/home2", mounts).type, "ext4");
  EXPECT_EQ(find_file_system("/home/my data/runs", mounts).type, "lustre");
  EXPECT_EQ(find_file_system("/home/my data/runs", mounts).mount_point, "/home/my data");
  EXPECT_EQ(find_file_system("/", "").sharing(), Sharing::unknown);
  EXPECT_NE(file_system_of("/proc").type, "");
}

TEST(SlurmSiteTest, SaysWhatThereIsAndMakesASiteFileOfIt) {
  SlurmSite site;
  site.partitions = parse_partitions(
      "debug|up|30:00|2|1|8|16000|(null)\n"
      "gpu*|up|1-00:00:00|4|2|64|515000+|gpu:a100:4(S:0-1),shard:8\n"
      "gpu*|up|1-00:00:00|9|2|48|257000|gpu:v100:2,gpu:a100:2\n"
      "sinfo: error: something\n");
  ASSERT_EQ(site.partitions.size(), 3u);
  EXPECT_EQ(site.partitions[1].gpus, 4);
  EXPECT_EQ(site.partitions[1].memory_mib, 515000);
  EXPECT_EQ(usual_partition(site), &site.partitions[2]);
  site.mpi_types =
      parse_mpi_types("MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions available: pmix_v4\n");
  EXPECT_EQ(site.mpi_types, (std::vector<std::string>{"pmix", "none"}));
  const std::string text = site_file(site);
  for (const char* line : {"\npartition = gpu\n", "\ngpus-per-node = 4\n", "\ntasks-per-node = 4\n",
                           "\ncpus-per-task = 12\n", "\nmpi = pmix  #"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  EXPECT_NE(finding_of(describe_site(site), "partition").text.find("debug: 2 nodes of 8 cores"), std::string::npos);
  site.mpi_types = parse_mpi_types("srun: MPI types are...\nsrun: none\nsrun: openmpi\n");
  EXPECT_EQ(site.mpi_types, (std::vector<std::string>{"none", "openmpi"}));
  EXPECT_EQ(finding_of(describe_site(site), "MPI types").level, Finding::warning);
  EXPECT_EQ(site_file(site).find("\nmpi"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
