#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace switchyard {
namespace {

/// The larger of two neighbours among non-negative halves ends with an even bit or an odd one: ties go to the even.
TEST(Half, IsTheNearestWithTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = half_to_float(half),
                next = bits == 0x7bff ? 65536 : half_to_float(static_cast<uint16_t>(bits + 1));
    const float tie = (value + next) / 2;  // exact
    const auto above = static_cast<uint16_t>(bits + 1), even = bits % 2 == 0 ? half : above;
    ASSERT_EQ(to_half(value), half);
    ASSERT_EQ(to_half(-value), half | 0x8000);
    ASSERT_EQ(to_half(tie), even) << tie;
    ASSERT_EQ(to_half(std::nextafter(tie, 0.0f)), half) << tie;
    ASSERT_EQ(to_half(std::nextafter(tie, 1e9f)), above) << tie;
    ASSERT_EQ(to_half(-tie), even | 0x8000) << tie;
  }
}

TEST(Half, WhatIsNoFiniteNumberStaysSo) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_half(kInf), 0x7c00);
  EXPECT_EQ(to_half(-1e30f), 0xfc00);
  EXPECT_TRUE(std::isnan(half_to_float(to_half(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(to_half(0x1p-126f), 0);
  EXPECT_EQ(to_half(std::numeric_limits<float>::denorm_min()), 0);
}

}  // namespace
}  // namespace switchyard
