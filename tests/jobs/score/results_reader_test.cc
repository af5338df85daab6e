#include "jobs/score/results_reader.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/small_runs.h"

namespace switchyard {
namespace {

using test::fails_input;

class ResultsReaderTest : public ::testing::Test, protected test::SmallRuns {
 protected:
  ResultsReaderTest() {
    hold_lease(shards_);
    for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk);
    merge_results(merge_of(shards_));
  }
  ResultsReader open(const ResultOptions& options) const { return {shards_.run.results_path(), options}; }

  ShardSet shards_ = make_run("run", {true, "mean", 3});
};

TEST_F(ResultsReaderTest, RowsAsAShardHoldsThem) {
  const ResultsReader reader = open(shards_.options);
  EXPECT_EQ(reader.rows(), 6);
  EXPECT_EQ(reader.read(0, 3), shards_.read(0).accepted);
  EXPECT_EQ(reader.read(3, 2), shards_.read(1).accepted);
  EXPECT_EQ(reader.read(5, 1), shards_.read(2).accepted);
}

TEST_F(ResultsReaderTest, OfOtherOptionsIsRefused) {
  EXPECT_TRUE(fails_input({"embedding", "[6, 4]", "[6, 3]"}, [&] { open({true, "mean", 4}); }));
  shards_ = make_run("plain", {});
  hold_lease(shards_);
  for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk);
  merge_results(merge_of(shards_));
  EXPECT_TRUE(fails_input({"token_logprob/values is missing"}, [&] { open({true, "none", 0}); }));
}

}  // namespace
}  // namespace switchyard
