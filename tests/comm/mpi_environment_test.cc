#include <gtest/gtest.h>

#include "comm/mpi_communicator.h"

namespace switchyard {
namespace {

TEST(MpiLibrary, HasAVersionOfOneLine) {
  const std::string version = mpi_library_version();
  EXPECT_FALSE(version.empty());
  EXPECT_EQ(version.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace switchyard
