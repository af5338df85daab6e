#include "base/available_memory.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/environment.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

constexpr size_t kGiB = size_t{1} << 30;

/// Trees as containers, batch systems and plain machines show them; the machine has 64 GiB available.
class AvailableMemory : public ::testing::Test {
 protected:
  AvailableMemory() {
    for (const char* name : {"SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_GPU"})
      around_.emplace_back(std::make_unique<test::Variable>(name, "0"));  // of a job that runs the tests
    file("proc/meminfo", "MemTotal:       134217728 kB\nMemAvailable:    67108864 kB\n");
  }

  void file(const std::string& path, const std::string& content) const {
    std::filesystem::create_directories((directory_ / path).parent_path());
    directory_.write(path, content);
  }
  /// Groups as /proc/self/cgroup has them, mounts as "ROOT POINT TYPE SUPER_OPTIONS".
  void process(const std::string& cgroup, const std::vector<std::string>& mounts) const {
    std::string text = "23 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
    for (const std::string& mount : mounts) {
      const size_t point_end = mount.find(' ', mount.find(' ') + 1), type_end = mount.find(' ', point_end + 1);
      text += "30 23 0:26 " + mount.substr(0, point_end) + " rw,nosuid,relatime shared:4 - " +
              mount.substr(point_end + 1, type_end - point_end - 1) + " cgroup " + mount.substr(type_end + 1) + "\n";
    }
    file("proc/self/cgroup", cgroup);
    file("proc/self/mountinfo", text);
  }
  void v2(const std::string& group, const std::string& max, size_t current, size_t inactive = 0, size_t active = 0,
          const std::string& high = "max") const {
    file(group + "/memory.max", max + "\n");
    file(group + "/memory.high", high + "\n");
    file(group + "/memory.current", std::to_string(current) + "\n");
    file(group + "/memory.stat", "anon 4096\nfile 8192\ninactive_file " + std::to_string(inactive) + "\nactive_file " +
                                     std::to_string(active) + "\n");
  }
  void v1(const std::string& group, size_t limit, size_t usage, size_t inactive = 0, size_t active = 0,
          size_t hierarchical_limit = 9223372036854771712u) const {
    file(group + "/memory.limit_in_bytes", std::to_string(limit) + "\n");
    file(group + "/memory.usage_in_bytes", std::to_string(usage) + "\n");
    // What a group itself holds is not what it and those below it hold.
    file(group + "/memory.stat", "inactive_file 1\nactive_file 1\nhierarchical_memory_limit " +
                                     std::to_string(hierarchical_limit) + "\ntotal_inactive_file " +
                                     std::to_string(inactive) + "\ntotal_active_file " + std::to_string(active) + "\n");
  }
  static std::string gib(size_t n) { return std::to_string(n * kGiB); }
  double available_gib() const {
    return static_cast<double>(available_memory(directory_.path())) / static_cast<double>(kGiB);
  }

  std::vector<std::unique_ptr<test::Variable>> around_;
  test::TemporaryDirectory directory_;
};

TEST_F(AvailableMemory, IsTheMachinesWithoutGroupsAndWithoutLimits) {
  EXPECT_EQ(available_gib(), 64);
  process("0::/user.slice\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  v2("sys/fs/cgroup/user.slice", "max", 90 * kGiB);
  EXPECT_EQ(available_gib(), 64);
  v2("sys/fs/cgroup/user.slice", gib(200), 30 * kGiB);
  EXPECT_EQ(available_gib(), 64);
}

TEST_F(AvailableMemory, PageCacheIsNotUsed) {
  process("0::/job\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  v2("sys/fs/cgroup/job", gib(16), 15 * kGiB, 8 * kGiB, 4 * kGiB);
  EXPECT_EQ(available_gib(), 13);
  v2("sys/fs/cgroup/job", gib(16), 3 * kGiB, 8 * kGiB, 4 * kGiB);  // read at different moments
  EXPECT_EQ(available_gib(), 16);
  v2("sys/fs/cgroup/job", gib(2), 15 * kGiB, kGiB, kGiB);  // the limit was lowered
  EXPECT_EQ(available_gib(), 0);
}

TEST_F(AvailableMemory, TheNarrowestOfNestedGroupsCounts) {
  process("0::/system.slice/slurmd.service/job_17/step_0\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  const std::string slurm = "sys/fs/cgroup/system.slice/slurmd.service";
  v2(slurm + "/job_17/step_0", "max", kGiB);
  v2(slurm + "/job_17", gib(32), 20 * kGiB, 5 * kGiB);
  v2(slurm, gib(60), 50 * kGiB, 0, 2 * kGiB);
  EXPECT_EQ(available_gib(), 12);
}

TEST_F(AvailableMemory, AGroupMayBeHeldBackBeforeItIsLimited) {
  process("0::/job\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  v2("sys/fs/cgroup/job", gib(16), 2 * kGiB, 0, 0, gib(10));
  EXPECT_EQ(available_gib(), 8);
}

TEST_F(AvailableMemory, Version1CountsTheGroupsBelowToo) {
  process("9:cpuset:/slurm\n4:cpu,memory:/slurm/job_17\n1:name=systemd:/\n0::/\n",
          {"/ /sys/fs/cgroup/cpuset cgroup rw,cpuset", "/ /cgroups/of\\040memory cgroup rw,cpu,memory",
           "/ /sys/fs/cgroup/unified cgroup2 rw"});
  v1("cgroups/of memory", 9223372036854771712u, 100 * kGiB);
  v1("cgroups/of memory/slurm", 40 * kGiB, 30 * kGiB, 2 * kGiB, kGiB);
  v1("cgroups/of memory/slurm/job_17", 16 * kGiB, 15 * kGiB, 4 * kGiB, 7 * kGiB);
  EXPECT_EQ(available_gib(), 12);
}

TEST_F(AvailableMemory, OfAGroupAboveThatIsNotSeenVersion1TellsTheLimit) {
  process("4:memory:/docker/abc\n", {"/docker/abc /sys/fs/cgroup/memory cgroup rw,memory"});
  v1("sys/fs/cgroup/memory", 9223372036854771712u, 5 * kGiB, kGiB, kGiB, 8 * kGiB);
  EXPECT_EQ(available_gib(), 5);
}

TEST_F(AvailableMemory, MountsThatShowAPartOfTheHierarchy) {
  v2("sys/fs/cgroup", gib(8), 3 * kGiB, kGiB);
  v2("sys/fs/cgroup/inner", gib(4), kGiB);
  v2("elsewhere", gib(1), 0);
  // Bind-mounted into a container, beside another container's.
  process("0::/docker/abc/inner\n", {"/docker/xyz /elsewhere cgroup2 rw", "/docker/abc /sys/fs/cgroup cgroup2 rw"});
  EXPECT_EQ(available_gib(), 3);
  // A namespace whose root is a group above is mounted, or which the process has left: only the mount is known.
  for (const auto& [group, root] : std::map<std::string, std::string>{{"/", "/.."}, {"/../xyz", "/"}, {"/a", "/b"}}) {
    process("0::" + group + "\n", {root + " /sys/fs/cgroup cgroup2 rw"});
    EXPECT_EQ(available_gib(), 6) << group << " in " << root;
  }
  // A namespace as it should be.
  process("0::/\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  EXPECT_EQ(available_gib(), 6);
}

TEST_F(AvailableMemory, NamesMayHoldColonsAndGroupsMayBeGone) {
  process("0::/a:b/gone (deleted)\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  v2("sys/fs/cgroup/a:b", gib(8), 3 * kGiB);
  EXPECT_EQ(available_gib(), 5);
}

TEST_F(AvailableMemory, NonsenseIsPassedOver) {
  process("0\n0:\nmemory\n0::/job\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  file("proc/self/mountinfo", "- - -\n\n30 23 0:26 / /sys/fs/cgroup\\04 rw - cgroup2\n");
  v2("sys/fs/cgroup/job", "", 0);
  EXPECT_EQ(available_gib(), 64);
}

TEST_F(AvailableMemory, SlurmsAllotmentCountsWhereNoGroupEnforcesIt) {
  EXPECT_EQ(memory_bound(directory_.path()).source, "available on the host");
  EXPECT_FALSE(memory_bound(directory_.path()).in_all);
  {
    const test::Variable node("SLURM_MEM_PER_NODE", "4096");
    EXPECT_EQ(available_gib(), 4);
    EXPECT_EQ(memory_bound(directory_.path()).source, "allotted by Slurm: SLURM_MEM_PER_NODE");
    EXPECT_TRUE(memory_bound(directory_.path()).in_all);
  }
  const test::Variable cpus("SLURM_CPUS_ON_NODE", "12"), gpus("SLURM_GPUS_ON_NODE", "2");
  {
    const test::Variable cpu("SLURM_MEM_PER_CPU", "512");
    EXPECT_EQ(available_gib(), 6);
  }
  const test::Variable gpu("SLURM_MEM_PER_GPU", "16384");
  EXPECT_EQ(available_gib(), 32);
}

TEST_F(AvailableMemory, TheLeastOfMachineGroupsAndSlurmDecides) {
  process("0::/job\n", {"/ /sys/fs/cgroup cgroup2 rw"});
  v2("sys/fs/cgroup/job", gib(16), 2 * kGiB);
  const test::Variable node("SLURM_MEM_PER_NODE", "15360");
  EXPECT_EQ(available_gib(), 14);
  EXPECT_NE(memory_bound(directory_.path()).source.find("control group"), std::string::npos);
  v2("sys/fs/cgroup/job", gib(30), 2 * kGiB);
  EXPECT_EQ(available_gib(), 15);
  file("proc/meminfo", "MemAvailable:    8388608 kB\n");
  EXPECT_EQ(available_gib(), 8);
}

TEST_F(AvailableMemory, OfSlurmAllOfTheNodeAndNonsenseBoundNothing) {
  for (const char* value : {"0", "", "all", "-1", "4096M", "99999999999999999999", "18446744073709551615"}) {
    const test::Variable node("SLURM_MEM_PER_NODE", value);
    EXPECT_EQ(available_gib(), 64) << value;
  }
  const test::Variable cpu("SLURM_MEM_PER_CPU", "1024");
  for (const char* value : {"0", "x", "18446744073709551615"}) {
    const test::Variable cpus("SLURM_CPUS_ON_NODE", value);
    EXPECT_EQ(available_gib(), 64) << value;
  }
}

TEST_F(AvailableMemory, HereIsSome) {
  EXPECT_GT(available_memory(), size_t{1} << 20);
}

TEST(ResidentBytes, GrowWithWhatIsTouched) {
  const size_t before = resident_bytes();
  const std::vector<char> touched(size_t{32} << 20, 1);
  EXPECT_GT(resident_bytes(), before + (size_t{16} << 20)) << touched.size();
}

}  // namespace
}  // namespace switchyard
