#include "comm/staged_communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/device.h"
#include "tests/comm/all_to_all.h"
#include "tests/comm/checks.h"

namespace switchyard::test {
namespace {

std::unique_ptr<Communicator> staged(Communicator& world) {
  return stage_through_host(world.split(0, world.rank()));
}

class StagedRanks : public testing::TestWithParam<std::tuple<int, Check>> {};

/// Host memory passes through.
TEST_P(StagedRanks, Check) {
  const auto& [size, check] = GetParam();
  run_thread_ranks(size, [body = check.body](Communicator& world) {
    const auto communicator = staged(world);
    EXPECT_EQ(communicator->kind(), "threads staged through host memory");
    body(*communicator);
  });
}

std::string name_of_test(const testing::TestParamInfo<std::tuple<int, Check>>& test) {
  return std::string(std::get<1>(test.param).name) + "_" + std::to_string(std::get<0>(test.param));
}

INSTANTIATE_TEST_SUITE_P(All, StagedRanks,
                         testing::Combine(testing::Values(1, 3), testing::ValuesIn(communicator_checks())),
                         name_of_test);

class StagedDevice : public testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(StagedDevice, Check) {
  if (num_devices() == 0) GTEST_SKIP() << why_no_devices();
  const auto& [size, check] = GetParam();
  run_thread_ranks(size, [body = check.body](Communicator& world) { body(*staged(world)); });
}

INSTANTIATE_TEST_SUITE_P(All, StagedDevice,
                         testing::Combine(testing::Values(1, 2, 3, 4), testing::ValuesIn(device_checks())),
                         name_of_test);

TEST(StagedDevice, AFailingRankEndsTheOthers) {
  if (num_devices() == 0) GTEST_SKIP() << why_no_devices();
  std::atomic<int> num_ended = 0;
  try {
    run_thread_ranks(3, [&](Communicator& world) {
      const auto communicator = staged(world);
      const DeviceStream device(device_of_rank(world.rank()));
      const Stream stream = device.over(Stream{});
      AllToAll rows(*communicator, 2, stream);
      if (world.rank() == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the others are waiting by then
        fail(ExitCode::input, "enough");
      }
      try {
        rows.start().wait();
        ADD_FAILURE() << "rank " << world.rank() << " went on";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::environment) << error.what();
        ++num_ended;
        throw;
      }
    });
    FAIL() << "no error came out";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "enough");
  }
  EXPECT_EQ(num_ended, 2);
}

}  // namespace
}  // namespace switchyard::test
