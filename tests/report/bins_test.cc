#include "report/bins.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "base/error.h"

namespace switchyard::report {
namespace {

TEST(Bins, CountWhatLiesBetweenTheirBounds) {
  Bins bins = Bins::linear(-2, 2, 4);
  for (const double value : {-2.0, -1.0, -1e-9, 0.0, 1.999, 2.0, -2.001, 7.0}) bins.add(value);
  bins.add(0.5, 10);
  bins.add(std::numeric_limits<double>::quiet_NaN());
  bins.add(std::numeric_limits<double>::infinity(), 2);
  EXPECT_EQ(bins.counts(), (std::vector<int64_t>{1, 2, 11, 1, 1, 2, 3}));
  EXPECT_EQ(bins.below(), 1);
  EXPECT_EQ(bins.above(), 2);
  EXPECT_EQ(bins.not_finite(), 3);
  EXPECT_EQ(bins.total(), 18);
}

TEST(Bins, BoundsBelongToTheBinAbove) {
  for (Bins bins : {Bins::logarithmic(1, 65536, 16), Bins::logarithmic(1e-3, 7, 37), Bins::linear(0.1, 0.7, 6)}) {
    for (int64_t bin = 0; bin < bins.size(); ++bin) bins.add(bins.edge(bin));
    for (int64_t bin = 0; bin < bins.size(); ++bin) EXPECT_EQ(bins.count(bin), 1) << bin << " of " << bins.size();
  }
}

TEST(Bins, OfOneRatio) {
  Bins bins = Bins::logarithmic(1, 16, 4);
  EXPECT_DOUBLE_EQ(bins.edge(1), 2);
  EXPECT_DOUBLE_EQ(bins.edge(3), 8);
  EXPECT_EQ(bins.edge(4), 16);
  bins.add(0);
  EXPECT_EQ(bins.below(), 1);
}

TEST(Bins, MedianIsOfABin) {
  Bins bins = Bins::linear(0, 10, 10);
  bins.add(2.5, 4);
  EXPECT_EQ(bins.median_bin(), 2);
  bins.add(7.5, 5);
  EXPECT_EQ(bins.median_bin(), 7);
  bins.add(99, 20);
  EXPECT_EQ(bins.median_bin(), 10) << "beyond what is drawn";
  bins.add(-1, 50);
  EXPECT_EQ(bins.median_bin(), -1);
}

TEST(Bins, RefusesWhatIsNoRange) {
  EXPECT_THROW(Bins::linear(1, 1, 4), Error);
  EXPECT_THROW(Bins::linear(0, 1, 0), Error);
  EXPECT_THROW(Bins::logarithmic(0, 1, 4), Error);
}

}  // namespace
}  // namespace switchyard::report
