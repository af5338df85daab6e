#include "jobs/score/throughput.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class Throughput : public ::testing::Test {
 protected:
  Throughput() { std::filesystem::create_directory(directory_ / "attempts"); }
  void attempt(const std::string& name, int number, int started) const {
    std::filesystem::create_directory(directory_ / "attempts" / name);
    directory_.write("attempts/" + name + "/start.json",
                     fmt::format(R"({{"number":{},"units":0,"time":{}}})", number, started));
  }
  static double tokens_of(const report::TimeSeries::Attempt& attempt, double step) {
    return std::accumulate(attempt.points.begin(), attempt.points.end(), 0.0,
                           [&](double sum, const auto& point) { return sum + point.value * step; });
  }

  test::TemporaryDirectory directory_;
  const RunDirectory run_{directory_.path()};
};

TEST_F(Throughput, IsEmptyWithoutAnythingNoted) {
  EXPECT_TRUE(throughput(run_).empty());
  attempt("17.0", 1, 1000);
  EXPECT_TRUE(throughput(run_).empty());
}

TEST_F(Throughput, AddsUpGroupsAndBeginsAnewWithEveryAttempt) {
  attempt("17.0", 1, 1000);
  attempt("17.1", 2, 2000);
  directory_.write("metrics.jsonl",
                   "{\"time\":1010,\"group\":0,\"seconds\":10,\"group_tokens\":100}\n"
                   "{\"time\":1010,\"group\":1,\"seconds\":10,\"group_tokens\":300}\n"
                   "{\"time\":1020,\"group\":0,\"seconds\":10,\"group_tokens\":300}\n"
                   "{\"time\":2010,\"group\":0,\"seconds\":10,\"group_tokens\":500}\n7\n{\"tim");
  const auto series = throughput(run_);
  ASSERT_EQ(series.size(), 2u);
  EXPECT_EQ(series[0].label, "17.0");
  EXPECT_EQ(series[0].begin, 0);
  EXPECT_EQ(series[0].end, 20);
  ASSERT_EQ(series[0].points.size(), 20u);
  EXPECT_DOUBLE_EQ(series[0].points[5].value, (100 + 300) / 10.0);
  EXPECT_DOUBLE_EQ(series[0].points[5].seconds, 5.5);
  EXPECT_DOUBLE_EQ(series[0].points[15].value, 200 / 10.0);
  EXPECT_DOUBLE_EQ(tokens_of(series[0], 1), 600);
  EXPECT_EQ(series[1].begin, 1000);
  EXPECT_DOUBLE_EQ(series[1].points[3].value, 50) << "counted from the attempt's beginning";
}

TEST_F(Throughput, AttemptsOfLessThanASecondCount) {
  attempt("local.1", 1, 1000);
  attempt("local.2", 2, 1000);
  directory_.write("metrics.jsonl", R"({"time":1000.5,"group":0,"seconds":0.25,"group_tokens":100})");
  const auto series = throughput(run_);
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].label, "local.2");
  ASSERT_EQ(series[0].points.size(), 1u);
  EXPECT_DOUBLE_EQ(series[0].points[0].value, 200) << "of half a second";
}

TEST_F(Throughput, OfALongRunHasAFewHundredPoints) {
  attempt("local.1", 1, 0);
  directory_.write("metrics.jsonl", R"({"time":360000,"group":0,"seconds":360000,"group_tokens":720000})");
  const auto series = throughput(run_);
  ASSERT_EQ(series.size(), 1u);
  EXPECT_LE(series[0].points.size(), 240u);
  EXPECT_NEAR(series[0].points[100].value, 2, 1e-9);
}

}  // namespace
}  // namespace switchyard
