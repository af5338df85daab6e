#include <gtest/gtest.h>

#include "comm/mpi_communicator.h"
#include "tests/comm/checks.h"

namespace switchyard::test {
namespace {

class MpiOrderedSum : public testing::TestWithParam<Check> {};

TEST_P(MpiOrderedSum, Check) {
  GetParam().body(*make_mpi_communicator());
}

INSTANTIATE_TEST_SUITE_P(All, MpiOrderedSum, testing::ValuesIn(ordered_sum_checks()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchyard::test
