#include "report/axis.h"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard::report {
namespace {

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> out;
  for (const Axis::Tick& tick : axis.ticks) out.push_back(tick.label);
  return out;
}
using Labels = std::vector<std::string>;

TEST(Axis, TicksAreRound) {
  EXPECT_EQ(labels(rounded_axis(0, 41234, kCount, 4)), (Labels{"0", "20k", "40k", "60k"}));
  EXPECT_EQ(labels(rounded_axis(0, 3, kCount, 4)), (Labels{"0", "1", "2", "3"}));
  EXPECT_EQ(labels(rounded_axis(0, 1, kCount, 4)), (Labels{"0", "1"})) << "half a thing is none";
  EXPECT_EQ(labels(rounded_axis(-0.2, 0.3, kNumber, 5)), (Labels{"-0.2", "-0.1", "0", "0.1", "0.2", "0.3"}));
  EXPECT_EQ(labels(rounded_axis(0, 0.83, kShare, 4)), (Labels{"0", "50%", "100%"}));
  EXPECT_EQ(labels(rounded_axis(0, 3.1 * (1 << 30), kBytes, 4)), (Labels{"0", "1 GiB", "2 GiB", "3 GiB", "4 GiB"}));
}

TEST(Axis, TimesHaveTheStepsOfClocks) {
  EXPECT_EQ(labels(linear_axis(0, 3000, kSeconds, 5)), (Labels{"0", "10 min", "20 min", "30 min", "40 min", "50 min"}));
  EXPECT_EQ(labels(linear_axis(0, 100000, kSeconds, 5)), (Labels{"0", "6 h", "12 h", "18 h", "24 h"}));
}

TEST(Axis, RoundedOnesReachTheirTicks) {
  const Axis axis = rounded_axis(3, 41234, kCount, 4);
  EXPECT_EQ(axis.low, 0);
  EXPECT_EQ(axis.high, 60000);
  EXPECT_EQ(axis.at(0), 0);
  EXPECT_EQ(axis.at(15000), 0.25);
  EXPECT_EQ(axis.at(60000), 1);
  const Axis exact = linear_axis(3, 13, kCount, 5);
  EXPECT_EQ(exact.low, 3);
  EXPECT_EQ(labels(exact), (Labels{"4", "6", "8", "10", "12"}));
}

TEST(Axis, OfOneValueHasARange) {
  EXPECT_EQ(rounded_axis(0, 0, kNumber, 4).high, 1);
  EXPECT_EQ(rounded_axis(5, 5, kNumber, 4).low, 0);
  EXPECT_EQ(rounded_axis(-5, -5, kNumber, 4).high, 0);
}

TEST(Axis, OfValuesThatDifferByAnUlpIsThatOfOne) {
  for (const double value : {5e-5, 1e-4, 2e-6, 3.0, -7e12}) {
    const double above = std::nextafter(value, 1e300);
    for (const auto& make : {linear_axis, rounded_axis}) {
      const Axis axis = make(value, above, kNumber, 4);
      EXPECT_GT(axis.high - axis.low, 0.9 * std::abs(value));
      EXPECT_LE(axis.ticks.size(), 8);
      EXPECT_GE(axis.at(value), 0);
      EXPECT_LE(axis.at(above), 1 + 1e-9);
    }
  }
}

TEST(Axis, LogarithmsOfDecades) {
  const Axis axis = logarithmic_axis(1, 1e6, kCount, 5);
  EXPECT_EQ(labels(axis), (Labels{"1", "100", "10,000", "1 M"}));
  EXPECT_DOUBLE_EQ(axis.at(1000), 0.5);
  EXPECT_EQ(labels(logarithmic_axis(3, 40, kCount, 5)), (Labels{"5", "10", "20"}));
  EXPECT_EQ(labels(logarithmic_axis(30, 40, kCount, 5)), (Labels{"30", "32", "34", "36", "38", "40"}));
}

TEST(Axis, NumberedThingsByPowersOfTwo) {
  const Axis axis = index_axis(1, 60, 1, 30);
  EXPECT_EQ(axis.ticks.size(), 30);
  EXPECT_EQ(axis.ticks[1].label, "3");
  EXPECT_EQ(axis.at(axis.ticks[1].value), 2.5 / 60);
  EXPECT_EQ(labels(index_axis(0, 4, 32, 2)), (Labels{"0", "64"}));
}

}  // namespace
}  // namespace switchyard::report
