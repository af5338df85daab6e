#include "report/thinned_line.h"

#include <gtest/gtest.h>

#include <limits>

namespace switchyard::report {
namespace {

constexpr auto kMost = static_cast<int64_t>(ThinnedLine::kMostPoints);

ThinnedLine straight(int64_t count) {
  ThinnedLine line;
  for (int64_t i = 0; i < count; ++i) line.add(static_cast<double>(i), 3 * static_cast<double>(i) + 1);
  return line;
}

TEST(ThinnedLine, KeepsAllWhileThereIsRoom) {
  const auto points = straight(kMost).points();
  ASSERT_EQ(std::ssize(points), kMost);
  EXPECT_EQ(points.front().x, 0);
  EXPECT_EQ(points.back().value, 3 * static_cast<double>(kMost - 1) + 1);
}

TEST(ThinnedLine, MergesNeighboursAndStaysOnTheLine) {
  for (const int64_t count : {kMost + 1, 2 * kMost, 7 * kMost + 3, int64_t{1000003}}) {
    const ThinnedLine line = straight(count);
    const auto points = line.points();
    EXPECT_LE(std::ssize(points), kMost) << count;
    EXPECT_GT(std::ssize(points), kMost / 2) << count;
    EXPECT_EQ((count + line.merged() - 1) / line.merged(), std::ssize(points)) << count;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_NEAR(points[i].value, 3 * points[i].x + 1, 1e-6 * points[i].value) << count;
      if (i > 0) {
        EXPECT_LT(points[i - 1].x, points[i].x) << count;
      }
    }
    EXPECT_EQ(points.front().x, static_cast<double>(line.merged() - 1) / 2) << count;
  }
}

TEST(ThinnedLine, LeavesOutWhatIsNotFinite) {
  ThinnedLine line;
  line.add(0, std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(line.empty());
  line.add(1, 5);
  line.add(2, std::numeric_limits<double>::infinity());
  ASSERT_EQ(line.points().size(), 1u);
  EXPECT_EQ(line.points().front().value, 5);
  EXPECT_EQ(line.not_finite(), 2);
}

}  // namespace
}  // namespace switchyard::report
