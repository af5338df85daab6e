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

TEST_F(ResultsReaderTest, TokenIdsHavePieces) {
  shards_ = make_run("text", {true, "none", 0, true});
  hold_lease(shards_);
  for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk);
  MergeInput merge = merge_of(shards_);
  merge_results(merge);
  EXPECT_EQ(open(shards_.options).read(3, 2), shards_.read(1).accepted);
  const h5::Reader file(shards_.run.results_path());
  std::vector<int64_t> offsets(3);
  file.open(kPieceOffsets).read(0, std::span(offsets));
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 0, 3}));
  std::vector<uint8_t> values(3);
  file.open(kPieceValues).read(0, std::span(values));
  EXPECT_EQ(std::string(values.begin(), values.end()), "one");

  merge.pieces.count = 1;  // and the tokens are of id 1
  merge_results(merge);
  EXPECT_TRUE(fails_input({"token_id/values", "below 1", "found 1"}, [&] { open(shards_.options).read(0, 1); }));
  merge.pieces.count = 0;
  merge_results(merge);
  EXPECT_TRUE(fails_input({"piece/values is missing"}, [&] { open(shards_.options); }));
}

}  // namespace
}  // namespace switchyard
