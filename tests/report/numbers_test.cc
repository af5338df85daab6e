#include "report/numbers.h"

#include <gtest/gtest.h>

#include <limits>

namespace switchyard::report {
namespace {

TEST(Numbers, CountsHaveAllTheirDigits) {
  EXPECT_EQ(text(0, kCount), "0");
  EXPECT_EQ(text(999, kCount), "999");
  EXPECT_EQ(text(1000, kTokens), "1,000 tokens");
  EXPECT_EQ(text(12345678901, kCount), "12,345,678,901");
  EXPECT_EQ(text(-1234567, kCount), "-1,234,567");
  EXPECT_EQ(text(3.456, kTokensPerSecond), "3.46 tok/s");
  EXPECT_EQ(text(41234.4, kTokensPerSecond), "41,234 tok/s");
  EXPECT_EQ(text(2e15, kCount), "2,000 T") << "a double no longer has all digits";
}

TEST(Numbers, ShortOnesHaveFour) {
  EXPECT_EQ(short_text(999999, kCount), "999,999");
  EXPECT_EQ(short_text(1234567, kTokens), "1.235 M tokens");
  EXPECT_EQ(short_text(23456789012, kCount), "23.46 B");
  EXPECT_EQ(short_text(12e12, kCount), "12 T");
}

TEST(Numbers, EachUnitItsWay) {
  EXPECT_EQ(text(1.23456, kNumber), "1.235");
  EXPECT_EQ(text(0.00123, kNumber), "0.00123");
  EXPECT_EQ(text(1.5e-9, kNumber), "1.5e-09");
  EXPECT_EQ(text(12345.67, kNumber), "12,346");
  EXPECT_EQ(text(0.1234, kShare), "12.3%");
  EXPECT_EQ(text(0.0001, kShare), "<0.1%");
  EXPECT_EQ(text(0, kShare), "0.0%");
  EXPECT_EQ(text(512, kBytes), "512 B");
  EXPECT_EQ(text(3.52 * 1024 * 1024 * 1024, kBytes), "3.52 GiB");
  EXPECT_EQ(text(352.4 * 1024, kBytes), "352 KiB");
}

TEST(Numbers, TimesAsPeopleSayThem) {
  EXPECT_EQ(text(0, kSeconds), "0 s");
  EXPECT_EQ(text(12e-6, kSeconds), "12.0 µs");
  EXPECT_EQ(text(0.42, kSeconds), "420 ms");
  EXPECT_EQ(text(4.2, kSeconds), "4.20 s");
  EXPECT_EQ(text(59.94, kSeconds), "59.9 s");
  EXPECT_EQ(text(59.97, kSeconds), "1 min 00 s");
  EXPECT_EQ(text(200, kSeconds), "3 min 20 s");
  EXPECT_EQ(text(3599.6, kSeconds), "1 h 00 min");
  EXPECT_EQ(text(3725, kSeconds), "1 h 02 min");
  EXPECT_EQ(text(86399, kSeconds), "1 d 0 h");
  EXPECT_EQ(text(2.125 * 86400, kSeconds), "2 d 3 h");
  EXPECT_EQ(text(-4.2, kSeconds), "-4.20 s");
}

TEST(Numbers, WhatIsNoNumberIsADash) {
  using Limits = std::numeric_limits<double>;
  for (const Unit unit : {kNumber, kCount, kShare, kSeconds, kBytes}) {
    EXPECT_EQ(text(Limits::quiet_NaN(), unit), "–");
    EXPECT_EQ(short_text(Limits::infinity(), unit), "–");
    EXPECT_EQ(short_text(-Limits::infinity(), unit), "–");
  }
}

TEST(Numbers, FixedDigits) {
  EXPECT_EQ(fixed(1234.5678, 2), "1,234.57");
  EXPECT_EQ(fixed(999999.5, 0), "1,000,000");
  EXPECT_EQ(fixed(0, 2), "0.00");
  EXPECT_EQ(fixed(-0.0, 1), "0.0");
  EXPECT_EQ(fixed(0.001, 2), "<0.01");
  EXPECT_EQ(fixed(-0.001, 2), ">-0.01");
  EXPECT_EQ(fixed(0.2, 0), "<1");
  EXPECT_EQ(fixed(1e300, 3), "1.000e+300");
  EXPECT_EQ(decimals_for(3600, 4), 0);
  EXPECT_EQ(decimals_for(12.3, 4), 2);
  EXPECT_EQ(decimals_for(0.5, 3), 3);
  EXPECT_EQ(decimals_for(0, 3), 0);
}

TEST(Numbers, SideBySideHaveOneScale) {
  EXPECT_EQ(scale_of(2e6, kBytes).symbol, "MiB");
  EXPECT_EQ(scale_of(179, kSeconds).symbol, "s");
  EXPECT_EQ(scale_of(180, kSeconds).symbol, "min");
  EXPECT_EQ(scale_of(0, kSeconds).symbol, "s");
  EXPECT_EQ(scale_of(9999, kCount).factor, 1);
  EXPECT_EQ(scale_of(10000, kCount).factor, 1000);
  EXPECT_EQ(scale_of(0.3, kShare).factor, 0.01);
}

}  // namespace
}  // namespace switchyard::report
