#include "comm/nccl_communicator.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/device.h"
#include "comm/watched_communicator.h"
#include "tests/comm/all_to_all.h"
#include "tests/comm/checks.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

/// Why `num_ranks` ranks cannot have NCCL here; empty when they can.
std::string why_no_nccl(int num_ranks) {
  if (nccl_library_version().empty()) return "this build has no NCCL";
  if (num_devices() == 0) return why_no_devices();
  const char* several = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");  // from 2.30 on
  if (several != nullptr && std::string_view(several) == "1") return "";
  return num_devices() < num_ranks ? fmt::format("{} ranks and {} devices", num_ranks, num_devices()) : "";
}

std::unique_ptr<Communicator> with_nccl(Communicator& world) {
  return add_nccl(world.split(0, world.rank()), device_of_rank(world.rank()), std::chrono::seconds(20));
}

using Case = std::tuple<int, Check>;
std::string name_of_case(const testing::TestParamInfo<Case>& test) {
  return std::string(std::get<1>(test.param).name) + "_" + std::to_string(std::get<0>(test.param));
}

class NcclRanks : public testing::TestWithParam<Case> {};

TEST_P(NcclRanks, Check) {
  const auto& [size, check] = GetParam();
  // Ranks that are threads would reach into each other's memory, which comes from pools that only their device reaches.
  setenv("NCCL_P2P_DIRECT_DISABLE", "1", 1);
  if (const std::string why = why_no_nccl(size); !why.empty()) GTEST_SKIP() << why;
  run_thread_ranks(size, [body = check.body](Communicator& world) {
    const auto communicator = with_nccl(world);
    EXPECT_EQ(communicator->kind(), "NCCL over threads");
    body(*communicator);
  });
}

std::vector<Check> host_and_device_checks() {
  std::vector<Check> checks = communicator_checks();
  for (const Check& check : device_checks()) checks.push_back(check);
  return checks;
}

INSTANTIATE_TEST_SUITE_P(All, NcclRanks,
                         testing::Combine(testing::Values(1, 2, 3, 4), testing::ValuesIn(host_and_device_checks())),
                         name_of_case);

/// The wrapping of a real run: the watched communicator is outside, its groups have NCCL too.
TEST(Nccl, TransfersAreWatched) {
  if (const std::string why = why_no_nccl(2); !why.empty()) GTEST_SKIP() << why;
  run_thread_ranks(2, [](Communicator& threads) {
    Pulse pulse;
    const auto world = watch_communicator(with_nccl(threads), pulse);
    const auto group = world->split(0, world->rank());
    EXPECT_EQ(group->kind(), "NCCL over threads");
    const DeviceStream device(device_of_rank(world->rank()));
    const Stream stream = device.over(Stream{});
    AllToAll rows(*group, 4, stream);
    const auto sequence = [&] { return pulse.read().communicators.at(1).sequence; };
    const int64_t before = sequence();
    if (world->rank() == 1) {
      world->barrier();
      rows.start().wait();
    } else {
      Pending pending = rows.start();
      EXPECT_FALSE(pending.poll());  // the other one has not come
      EXPECT_EQ(pulse.read().waits_with, (std::vector<int>{0, 1}));
      world->barrier();
      pending.wait();
    }
    rows.verify();
    EXPECT_EQ(sequence(), before + 1);
    EXPECT_EQ(pulse.read().waiting, -1);
  });
}

TEST(Nccl, ASingleRankNeedsNobody) {
  if (const std::string why = why_no_nccl(1); !why.empty()) GTEST_SKIP() << why;
  const auto communicator = add_nccl(make_self_communicator(), 0);
  EXPECT_EQ(communicator->kind(), "NCCL over self");
  for (const Check& check : device_checks()) {
    SCOPED_TRACE(check.name);
    check.body(*communicator);
  }
}

TEST(Nccl, SaysWhenTheBuildHasNone) {
  if (!nccl_library_version().empty()) GTEST_SKIP() << "NCCL " << nccl_library_version();
  EXPECT_TRUE(fails(ExitCode::environment, {"no NCCL"}, [] { add_nccl(make_self_communicator(), 0); }));
}

/// Without a driver too.
TEST(Nccl, TellsItsVersion) {
  if (nccl_library_version().empty()) GTEST_SKIP() << "this build has no NCCL";
  RecordProperty("nccl", nccl_library_version());
  EXPECT_EQ(nccl_library_version().substr(0, 2), "2.") << nccl_library_version();
}

}  // namespace
}  // namespace switchyard::test
