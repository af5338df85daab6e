#include <gtest/gtest.h>

#include "comm/mpi_communicator.h"
#include "tests/exchange/exchange_checks.h"

namespace switchyard::test {
namespace {

class MpiGradientExchange : public testing::TestWithParam<Check> {};

TEST_P(MpiGradientExchange, Check) {
  GetParam().body(*make_mpi_communicator());
}

INSTANTIATE_TEST_SUITE_P(All, MpiGradientExchange, testing::ValuesIn(gradient_exchange_checks()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchyard::test
