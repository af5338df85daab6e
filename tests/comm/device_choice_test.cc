#include "comm/device_choice.h"

#include <gtest/gtest.h>

#include <set>

#include "base/device.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

RankDevices rank_on(const std::string& host, std::vector<std::string> devices) {
  return {host, std::move(devices), "no driver"};
}

/// `num_ranks` ranks on each of the hosts, every rank sees all of its host's devices.
std::vector<RankDevices> cluster(int num_hosts, int num_ranks, int num_devices_each) {
  std::vector<RankDevices> ranks;
  for (int h = 0; h < num_hosts; ++h)
    for (int r = 0; r < num_ranks; ++r) {
      RankDevices& rank = ranks.emplace_back(rank_on(fmt::format("node{}", h), {}));
      for (int d = 0; d < num_devices_each; ++d) rank.devices.push_back(fmt::format("0000:{:02x}:00.0", d));
    }
  return ranks;
}

std::vector<int> indices(const std::vector<RankDevices>& ranks, DeviceRequest request, bool share_gpu) {
  std::vector<int> chosen;
  for (int r = 0; r < std::ssize(ranks); ++r) {
    const DeviceChoice choice = choose_device(ranks, r, request, share_gpu);
    EXPECT_EQ(choice.device, Device::cuda) << choice.why;
    EXPECT_EQ(choice.staged, share_gpu);
    chosen.push_back(choice.index);
  }
  return chosen;
}

TEST(DeviceChoice, ByLocalRank) {
  EXPECT_EQ(indices(cluster(2, 3, 4), DeviceRequest::automatic, false), (std::vector<int>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(indices(cluster(1, 1, 1), DeviceRequest::cuda, false), (std::vector<int>{0}));
  EXPECT_EQ(choose_device(cluster(2, 3, 4), 5, DeviceRequest::automatic, false).why, "every rank has a GPU of its own");
}

TEST(DeviceChoice, RanksOfAHostNeedNotBeNeighbours) {
  const std::vector<RankDevices> ranks{rank_on("a", {"a0", "a1"}), rank_on("b", {"b0", "b1"}),
                                       rank_on("a", {"a0", "a1"}), rank_on("b", {"b0", "b1"})};
  EXPECT_EQ(indices(ranks, DeviceRequest::cuda, false), (std::vector<int>{0, 0, 1, 1}));
}

/// As with one GPU bound to each task: all are number 0.
TEST(DeviceChoice, ALauncherMayShowEachRankItsOwn) {
  const std::vector<RankDevices> ranks{rank_on("a", {"a0"}), rank_on("a", {"a1"}), rank_on("a", {"a2"})};
  EXPECT_EQ(indices(ranks, DeviceRequest::cuda, false), (std::vector<int>{0, 0, 0}));
  const std::vector<RankDevices> same{rank_on("a", {"a0"}), rank_on("a", {"a0"})};
  EXPECT_TRUE(fails(ExitCode::environment, {"a has 2 ranks and 1 GPU", "--share-gpu"},
                    [&] { choose_device(same, 0, DeviceRequest::cuda, false); }));
}

TEST(DeviceChoice, MoreRanksThanDevices) {
  const auto ranks = cluster(2, 4, 2);
  for (int r = 0; r < std::ssize(ranks); ++r) {
    EXPECT_TRUE(fails(ExitCode::environment, {"node0 has 4 ranks and 2 GPUs", "--share-gpu"},
                      [&] { choose_device(ranks, r, DeviceRequest::cuda, false); }));
    const DeviceChoice choice = choose_device(ranks, r, DeviceRequest::automatic, false);
    EXPECT_EQ(choice.device, Device::cpu);
    EXPECT_FALSE(choice.staged);
    EXPECT_NE(choice.why.find("node0 has 4 ranks and 2 GPUs"), std::string::npos) << choice.why;
  }
}

TEST(DeviceChoice, SharedInTurn) {
  EXPECT_EQ(indices(cluster(1, 4, 2), DeviceRequest::cuda, true), (std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(indices(cluster(2, 2, 1), DeviceRequest::automatic, true), (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(indices(cluster(1, 2, 4), DeviceRequest::cuda, true), (std::vector<int>{0, 1}));
  EXPECT_NE(choose_device(cluster(1, 4, 2), 1, DeviceRequest::cuda, true).why.find("host memory"), std::string::npos);
}

TEST(DeviceChoice, AHostWithoutDevices) {
  auto ranks = cluster(2, 2, 2);
  ranks[2].devices.clear();
  for (const bool share_gpu : {false, true}) {
    EXPECT_TRUE(fails(ExitCode::environment, {"rank 2 on node1: no driver"},
                      [&] { choose_device(ranks, 0, DeviceRequest::cuda, share_gpu); }));
    EXPECT_EQ(choose_device(ranks, 0, DeviceRequest::automatic, share_gpu).device, Device::cpu);
  }
}

TEST(DeviceChoice, TheCpuWhenAskedFor) {
  const DeviceChoice choice = choose_device(cluster(1, 1, 1), 0, DeviceRequest::cpu, true);
  EXPECT_EQ(choice.device, Device::cpu);
  EXPECT_FALSE(choice.staged);
  EXPECT_EQ(choice.why, "asked for");
}

TEST(DeviceChoice, NobodyAskedForWhatARunBeganWith) {
  const std::string_view begun = "as this run began";
  EXPECT_EQ(choose_device(cluster(1, 1, 1), 0, {DeviceRequest::cpu, begun}, false).why, begun);
  EXPECT_EQ(choose_device(cluster(1, 1, 1), 0, {DeviceRequest::cuda, begun}, false).why, begun);
  EXPECT_TRUE(fails(ExitCode::environment, {"device cuda (as this run began)", "no driver"}, [&] {
    choose_device(cluster(1, 1, 0), 0, {DeviceRequest::cuda, begun}, false);
  }));
}

TEST(DeviceChoice, RanksTellEachOther) {
  const auto ranks = cluster(2, 2, 2);
  run_thread_ranks(4, [&](Communicator& world) {
    const auto& mine = ranks[static_cast<size_t>(world.rank())];
    EXPECT_EQ(choose_device(world, DeviceRequest::automatic, false, mine).index, world.rank() % 2);
    const DeviceChoice none = choose_device(world, DeviceRequest::automatic, false, rank_on("here", {}));
    EXPECT_EQ(none.device, Device::cpu);
    EXPECT_EQ(none.why, "rank 0 on here: no driver");
  });
}

TEST(DeviceChoice, ThisMachine) {
  const RankDevices mine = visible_devices();
  EXPECT_FALSE(mine.host.empty());
  EXPECT_EQ(std::ssize(mine.devices), num_devices());
  EXPECT_EQ(mine.why_none, why_no_devices());
  const std::set<std::string> distinct(mine.devices.begin(), mine.devices.end());
  EXPECT_EQ(distinct.size(), mine.devices.size());
  const DeviceChoice choice = choose_device(*make_self_communicator(), DeviceRequest::automatic, false);
  EXPECT_EQ(choice.device, num_devices() > 0 ? Device::cuda : Device::cpu) << choice.why;
}

}  // namespace
}  // namespace switchyard::test
