#include "comm/mpi_communicator.h"

#include <gtest/gtest.h>

#include "base/device.h"
#include "comm/launcher.h"
#include "comm/staged_communicator.h"
#include "tests/comm/checks.h"

namespace switchyard::test {
namespace {

class MpiRanks : public testing::TestWithParam<Check> {};

TEST_P(MpiRanks, Check) {
  const auto world = make_mpi_communicator();
  EXPECT_EQ(world->kind(), "MPI");
  GetParam().body(*world);
}

/// Messages of at most 64 bytes: everything travels in pieces, as only terabytes would otherwise.
TEST_P(MpiRanks, CheckInPieces) {
  const auto world = make_mpi_communicator(64);
  GetParam().body(*world);
}

TEST_P(MpiRanks, CheckPassingThroughStaging) {
  const auto world = stage_through_host(make_mpi_communicator());
  GetParam().body(*world);
}

INSTANTIATE_TEST_SUITE_P(All, MpiRanks, testing::ValuesIn(communicator_checks()),
                         [](const auto& test) { return std::string(test.param.name); });

class MpiStagedRanks : public testing::TestWithParam<Check> {};

TEST_P(MpiStagedRanks, Check) {
  if (num_devices() == 0) GTEST_SKIP() << why_no_devices();
  const auto world = stage_through_host(make_mpi_communicator());
  EXPECT_EQ(world->kind(), "MPI staged through host memory");
  GetParam().body(*world);
}

INSTANTIATE_TEST_SUITE_P(All, MpiStagedRanks, testing::ValuesIn(device_checks()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Mpi, WasLaunched) {
  EXPECT_TRUE(launched_by_mpi());
}

TEST(Mpi, ErrorsNameTheCallAndItsPlace) {
  const auto world = make_mpi_communicator();
  int32_t value = 0;
  try {
    world->broadcast({&value, {1}, DType::i32}, world->size());
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), ExitCode::environment);
    for (const char* part : {"MPI_ERR_ROOT", "MPI_Bcast(", "mpi_communicator.cc:"})
      EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  world->barrier();
}

/// Half full of unread notices: main() then finalises.
TEST(Mpi, NoticesUnreadAtTheEndDoNotMatter) {
  const auto world = make_mpi_communicator();
  for (int value = 1; value <= 100; ++value) world->post_notice(value);
}

}  // namespace
}  // namespace switchyard::test
