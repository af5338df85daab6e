#include "jobs/score/shard.h"

#include <gtest/gtest.h>

#include "io/seal.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::fails_input;

const ResultOptions kMeanOfAll{true, "mean", 2};

/// Records 10 … 15: the third is a reject.
ChunkResult example() {
  ChunkResult r;
  r.chunk = 2;
  r.first_record = 10;
  r.num_records = 6;
  r.input_hash = {0x0123456789abcdefu, 0xfedcba9876543210u};
  r.accepted = ResultRows(kMeanOfAll);
  const float logprob[] = {-1, -0.5f, -1e-30f};
  const int32_t argmax[] = {1, 2, 3}, target[] = {1, 2, 4};
  for (const int64_t record : {10, 11, 13, 14, 15}) {
    const auto tokens = static_cast<size_t>(record % 4);
    const float pooled[] = {static_cast<float>(record) / 3, -1};
    r.accepted.append(
        {record, std::span(logprob, tokens), std::span(argmax, tokens), std::span(target, tokens), pooled});
  }
  r.rejects = {{12, "token 1 is 300, but the vocabulary has 257"}};
  r.expert_tokens = {2, 3, {1, 2, 3, 4, 5, int64_t{1} << 40}};
  return r;
}

class ShardTest : public ::testing::Test {
 protected:
  ChunkResult read(const std::string& name) const {
    return read_shard(directory_ / name, 2, 10, 6, kMeanOfAll, "fingerprint");
  }
  void write(const std::string& name, const ChunkResult& r) const { write_shard(directory_ / name, r, "fingerprint"); }
  test::TemporaryDirectory directory_;
};

TEST_F(ShardTest, ReadsBackWhatWasWritten) {
  write("a.h5", example());
  EXPECT_EQ(read("a.h5"), example());
  const ShardSummary summary = read_shard_summary(directory_ / "a.h5");
  EXPECT_EQ(summary.input_hash, example().input_hash);
  EXPECT_EQ(summary.accepted, 5);
  EXPECT_EQ(summary.token_values, 2 + 3 + 1 + 2 + 3);
  EXPECT_EQ(summary.rejects, 1);
}

TEST_F(ShardTest, TheSameBytesWheneverItIsWritten) {
  write("a.h5", example());
  write("b.h5", example());
  EXPECT_EQ(bytes_of_file(directory_ / "a.h5"), bytes_of_file(directory_ / "b.h5"));
}

TEST_F(ShardTest, OnlyRejects) {
  ChunkResult r;
  r.chunk = 2;
  r.first_record = 10;
  r.num_records = 6;
  r.accepted = ResultRows(kMeanOfAll);
  for (int64_t i = 10; i < 16; ++i) r.rejects.push_back({i, "empty record"});
  r.expert_tokens = {1, 2, {0, 0}};
  write("a.h5", r);
  EXPECT_EQ(read("a.h5"), r);
}

TEST_F(ShardTest, AnyFlippedBitAndAnyCutIsNoticed) {
  write("a.h5", example());
  const std::string good = bytes_of_file(directory_ / "a.h5");
  for (size_t at = 0; at < good.size(); at += 101) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    directory_.write("bad.h5", bad);
    EXPECT_TRUE(fails_input({"bad.h5", at + kSealBytes < good.size() ? "have changed" : ""}, [&] { read("bad.h5"); }))
        << at;
    directory_.write("bad.h5", good.substr(0, at));
    EXPECT_TRUE(fails_input({"bad.h5", "seal is missing"}, [&] { read("bad.h5"); })) << at;
  }
}

TEST_F(ShardTest, OfOtherWorkIsRefusedByName) {
  write("a.h5", example());
  const auto path = directory_ / "a.h5";
  EXPECT_TRUE(fails_input({"fingerprint"}, [&] { read_shard(path, 2, 10, 6, kMeanOfAll, "other"); }));
  EXPECT_TRUE(fails_input({"chunk"}, [&] { read_shard(path, 3, 10, 6, kMeanOfAll, "fingerprint"); }));
  EXPECT_TRUE(fails_input({"num_records"}, [&] { read_shard(path, 2, 10, 7, kMeanOfAll, "fingerprint"); }));
}

TEST_F(ShardTest, EveryRecordOnce) {
  ChunkResult missing = example();
  missing.rejects.clear();
  write("missing.h5", missing);
  EXPECT_TRUE(fails_input({"record 12"}, [&] { read("missing.h5"); }));
  ChunkResult twice = example();
  twice.rejects.push_back({15, "again"});
  write("twice.h5", twice);
  EXPECT_TRUE(fails_input({"twice.h5"}, [&] { read("twice.h5"); }));
}

/// Whatever the column: one that is missing, too short, or whose offsets do not fit.
TEST_F(ShardTest, EveryColumnWholeAndInItsPlace) {
  const auto expect_refused = [&](const ChunkResult& r, std::string_view dataset) {
    write("a.h5", r);
    try {
      read("a.h5");
      FAIL() << dataset;
    } catch (const Damaged& damage) {
      EXPECT_NE(std::string_view(damage.what()).find(dataset), std::string_view::npos) << damage.what();
    }
  };
  for (size_t i = 0; i < example().accepted.columns.size(); ++i) {
    ChunkResult missing = example(), shorter = example();
    missing.accepted.columns.erase(missing.accepted.columns.begin() + static_cast<std::ptrdiff_t>(i));
    ColumnValues& values = shorter.accepted.columns[i];
    const std::string name = values.column->values_dataset();
    if (i > 0) expect_refused(missing, name);
    values.bytes.resize(values.bytes.size() - static_cast<size_t>(values.width) * size_of(values.column->dtype));
    expect_refused(shorter, i > 0 ? name : "length of logprob");
    if (!values.ragged()) continue;
    const std::string offsets = values.column->offsets_dataset();
    for (const auto& [at, offset] : {std::pair<size_t, int64_t>{0, 1}, {2, 100}}) {
      ChunkResult moved = example();
      moved.accepted.columns[i].offsets[at] = offset;
      expect_refused(moved, offsets);
    }
    ChunkResult fewer = example();
    fewer.accepted.columns[i].offsets.pop_back();
    expect_refused(fewer, "length of " + offsets);
  }
}

}  // namespace
}  // namespace switchyard
