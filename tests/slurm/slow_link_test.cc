// A link that is slower than the ranks: what rows take to travel on it is found under transfer, and the advice says so.
#include <gtest/gtest.h>

#include "jobs/scale/pop.h"
#include "tests/slurm/cluster.h"
#include "tests/support/score_case.h"

namespace switchyard::test {
namespace {

using namespace std::chrono_literals;

constexpr double kTolerance = 0.2;          // of what is planted
constexpr double kBytesPerSecond = 12.5e6;  // 100 Mbit/s

TEST(SlowLink, IsTransfer) {
  const Cluster cluster;
  if (!cluster.problem().empty()) GTEST_SKIP() << cluster.problem();
  if (!cluster.has_namespaces()) GTEST_SKIP() << "without namespaces no link can be limited";
  const std::filesystem::path root = std::filesystem::path(SWITCHYARD_SLURM_RUNS) / "slow-link";
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  write_text_input(root / "input.h5", 200, 400);
  const auto record = [&](const std::string& name) {
    const ClusterRun run(cluster, root / name);
    run.submit({"--input", root / "input.h5", "--nodes", "2", "--tasks-per-node", "1", "--ep", "2", "--dtype", "f32",
                "--cpus-per-task", "1", "--chunk-records", "50"});
    EXPECT_TRUE(within(120s, [&] { return run.state() == "complete"; })) << run.status().dump(2);
    return read_point_record(RunDirectory(run.path()));
  };
  const PointRecord quick = record("quick");
  ASSERT_EQ(cluster.control({"limit", "n1", "100mbit"}).exit_code, 0);
  const PointRecord slow = record("slow");

  ASSERT_EQ(slow.num_ranks(), 2);
  ASSERT_EQ(slow.hosts().size(), 2U);
  // No link carries more than it can, and few all that at once in both directions: planted is by what the run is
  // longer.
  const double planted = slow.work() - quick.work();
  const auto most_bytes = static_cast<double>(std::max(slow.ranks[0].bytes_to.at(1), slow.ranks[1].bytes_to.at(0)));
  ASSERT_GT(planted, most_bytes / kBytesPerSecond / 2);  // some of it is hidden
  ASSERT_GT(planted, 1);
  for (size_t r = 0; r < 2; ++r) {
    EXPECT_NEAR(slow.ranks[r].transfer - quick.ranks[r].transfer, planted, kTolerance * planted);
    EXPECT_NEAR(slow.ranks[r].wait, quick.ranks[r].wait, kTolerance * planted);
    EXPECT_NEAR(slow.ranks[r].useful, quick.ranks[r].useful, kTolerance * planted);
    EXPECT_LT(std::abs(slow.ranks[r].other()), 0.01 * slow.ranks[r].work);
  }
  const std::vector<std::string> notes = scaling_advice(slow, quick);
  EXPECT_TRUE(
      std::ranges::any_of(notes, [](const std::string& note) { return note.find("rows under way") != note.npos; }))
      << notes.size() << " notes";
}

}  // namespace
}  // namespace switchyard::test
