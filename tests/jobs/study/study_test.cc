// Statistics and tables of studies.
#include "jobs/study/study.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/hdf5.h"
#include "jobs/study/statistics.h"
#include "jobs/study/study_table.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

TEST(Statistics, MedianOfOddEvenAndNone) {
  EXPECT_EQ(median(std::vector{3.0, 1.0, 2.0}), 2);
  EXPECT_EQ(median(std::vector{4.0, 1.0, 2.0, 3.0}), 2.5);
  EXPECT_TRUE(std::isnan(median({})));
}

// Ranks as in tables of the sign test: Conover, table A3 (n = 6: 1 and 6; 9: 2 and 8; 20: 6 and 15; 30: 10 and 21).
TEST(Statistics, IntervalsOfTheMedianAreBetweenKnownRanks) {
  const std::vector<std::array<int, 3>> known = {{6, 1, 6},   {8, 1, 8},   {9, 2, 8},   {11, 2, 10},
                                                 {12, 3, 10}, {20, 6, 15}, {30, 10, 21}};
  for (const auto& [n, low, high] : known) {
    std::vector<double> values;
    for (int i = 0; i < n; ++i) values.push_back((i * 7) % n + 1);
    if (n % 7 == 0) continue;
    const auto interval = median_interval(values);
    ASSERT_TRUE(interval) << n;
    EXPECT_EQ(interval->low, low) << n;
    EXPECT_EQ(interval->high, high) << n;
  }
  EXPECT_FALSE(median_interval(std::vector{1.0, 2.0, 3.0, 4.0, 5.0}));
  // Of many the ranks of the normal approximation, half of n and an interval's 1.96 √n / 2 away; 2^-n is no double
  // there.
  for (const int n : {1000, 1074, 1075, 10000}) {
    std::vector<double> values;
    for (int i = 1; i <= n; ++i) values.push_back(i);
    const auto interval = median_interval(values);
    ASSERT_TRUE(interval) << n;
    EXPECT_NEAR(interval->low, n / 2.0 - 0.98 * std::sqrt(n), 1.5) << n;
    EXPECT_EQ(interval->high, n + 1 - interval->low) << n;
  }
}

TEST(Statistics, TheFrontHasWhatNothingBeats) {
  const std::vector<double> a = {1, 2, 3, 2, 4, NAN, 1}, b = {5, 3, 4, 2, 1, 0, 6};
  EXPECT_EQ(pareto_front(a, b), (std::vector<size_t>{0, 3, 4}));
  EXPECT_TRUE(pareto_front({}, {}).empty());
}

StudyTable example() {
  StudyPoint done{.number = 0,
                  .options = {"0.9", "a, \"b\""},
                  .state = "complete",
                  .metrics = {{"loss", 1.5}},
                  .run = "/r/0",
                  .command = "x"};
  StudyPoint failed{
      .number = 1, .options = {"0.8", "c"}, .state = "failed", .message = "why", .run = "/r/1", .command = "y"};
  return {{"freeze", "data"}, {done, failed}};
}

TEST(StudyTable, CommandsAreOnesThatCanBeGiven) {
  EXPECT_EQ(
      command_text("train", {{"train-router", {"true"}}, {"run", {"a b"}}, {"layers", {"-1", "2"}}, {"note", {""}}}),
      "switchyard train --run 'a b' --layers=-1 --layers 2 --note='' --train-router=true");
}

TEST(StudyTable, AsCsv) {
  EXPECT_EQ(to_csv(example()),
            "point,freeze,data,state,loss,run,command\n"
            "0,0.9,\"a, \"\"b\"\"\",complete,1.5,/r/0,x\n"
            "1,0.8,c,failed,,/r/1,y\n");
}

TEST(StudyTable, AsHdf5) {
  const TemporaryDirectory directory;
  write_study_file(directory / "sweep.h5", example());
  const h5::Reader file(directory / "sweep.h5");
  EXPECT_EQ(file.open("option/data").read_strings(0, 2), (std::vector<std::string>{"a, \"b\"", "c"}));
  EXPECT_EQ(file.open("state").read_strings(0, 2), (std::vector<std::string>{"complete", "failed"}));
  std::vector<double> loss(2);
  file.open("metric/loss").read(0, std::span(loss));
  EXPECT_EQ(loss[0], 1.5);
  EXPECT_TRUE(std::isnan(loss[1]));
}

}  // namespace
}  // namespace switchyard::test
