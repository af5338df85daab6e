// The counting job on a Slurm cluster: submitted with successors, stopped, resumed by the next link.
#include <gtest/gtest.h>

#include "io/file.h"
#include "tests/run/counting.h"
#include "tests/slurm/cluster.h"

namespace switchyard::test {
namespace {

using namespace std::chrono_literals;

TEST(CountingSlurmTest, AChainGoesOnWhereItsFirstLinkWasStopped) {
  const Cluster cluster;
  if (!cluster.problem().empty()) GTEST_SKIP() << cluster.problem();
  const std::filesystem::path run = std::filesystem::path(SWITCHYARD_SLURM_RUNS) / "counting";
  std::filesystem::remove_all(run);
  std::filesystem::create_directories(run.parent_path());
  const auto status = [&] {
    return parse_json(cluster.output_of({COUNTING_PROGRAM, "status", "--json", run}), "status").at(0);
  };
  std::vector<std::string> submit = count_command(run, 60, 200);
  submit.insert(submit.begin() + 1, "submit");
  submit.insert(submit.end(), {"--nodes", "2", "--tasks-per-node", "2", "--chain", "1"});
  const std::string ids = cluster.output_of(submit), first = ids.substr(0, ids.find('\n'));
  ASSERT_TRUE(within(60s, [&] { return squares(run) >= 6; })) << status().dump(2);
  EXPECT_EQ(status().at("state"), "running");
  EXPECT_EQ(status().at("job"), first);
  cluster.output_of({"scancel", "--signal=TERM", first});
  ASSERT_TRUE(within(60s, [&] { return status().at("state") == "complete"; })) << status().dump(2);
  EXPECT_EQ(cluster.job_field(first, "ExitCode"), "75:0");
  EXPECT_EQ(status().at("numbers_done"), 60);
  EXPECT_EQ(status().at("cost").at("attempts"), 2);
  EXPECT_EQ(read_text_file(run / "sum.txt"), "70210");  // 0² + … + 59²
}

}  // namespace
}  // namespace switchyard::test
