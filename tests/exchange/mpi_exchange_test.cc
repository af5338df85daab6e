#include <gtest/gtest.h>

#include "comm/mpi_communicator.h"
#include "comm/staged_communicator.h"
#include "tests/exchange/exchange_checks.h"

namespace switchyard::test {
namespace {

class MpiExchange : public testing::TestWithParam<Check> {};

TEST_P(MpiExchange, Check) {
  GetParam().body(*make_mpi_communicator());
}

/// Messages of at most 64 bytes: everything travels in pieces, as only terabytes would otherwise.
TEST_P(MpiExchange, CheckInPieces) {
  GetParam().body(*make_mpi_communicator(64));
}

TEST_P(MpiExchange, CheckPassingThroughStaging) {
  GetParam().body(*stage_through_host(make_mpi_communicator()));
}

INSTANTIATE_TEST_SUITE_P(All, MpiExchange, testing::ValuesIn(exchange_checks()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchyard::test
