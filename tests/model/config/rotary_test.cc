#include "model/config/rotary.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Rotary, FrequenciesFallFromOneByPowersOfTheta) {
  const std::vector<double> f = rotary_frequencies({.theta = 10'000, .dim = 8});
  ASSERT_EQ(f.size(), 4u);
  const double want[] = {1, 0.1, 0.01, 0.001};
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(f[i], want[i]);
  EXPECT_TRUE(rotary_frequencies({}).empty());
}

}  // namespace
}  // namespace switchyard
