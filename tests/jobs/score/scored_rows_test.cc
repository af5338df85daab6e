#include "jobs/score/scored_rows.h"

#include <gtest/gtest.h>

#include "tests/support/column_of.h"

namespace switchyard {
namespace {

using test::column_of;
using test::values_of;

const ResultOptions kLastOfAll{true, "last", 2};

/// A rank's rows of these records: values follow from the record's number alone.
ScoredRows rows_of(std::initializer_list<int64_t> records) {
  ScoredRows rows{ResultRows(kLastOfAll)};
  for (const int64_t r : records) {
    std::vector<float> logprob;
    for (int64_t t = 0; t < r % 3; ++t) logprob.push_back(static_cast<float>(10 * r + t));
    const std::vector<int32_t> argmax(logprob.size(), 7), target(logprob.size(), r % 2 == 0 ? 7 : 8);
    const float pooled[] = {static_cast<float>(100 * r), static_cast<float>(100 * r + 1)};
    rows.accepted.append({r, logprob, argmax, target, pooled});
    rows.hashed_record.push_back(r);
    rows.hash.push_back({static_cast<uint64_t>(r), 1});
  }
  return rows;
}

TEST(ScoredRows, SurviveTheJourney) {
  ScoredRows rows = rows_of({3, 5, 8});
  rows.rejects = {{4, "empty record"}, {6, ""}};
  const ScoredRows back = unpack_rows(pack_rows(rows), kLastOfAll);
  const ScoredRows parts[] = {rows}, parts_back[] = {back};
  EXPECT_EQ(assemble_chunk(parts_back, kLastOfAll), assemble_chunk(parts, kLastOfAll));
  EXPECT_EQ(back.rejects, rows.rejects);
}

TEST(ScoredRows, AssembledInInputOrderWhoeverScoredThem) {
  const ScoredRows one[] = {rows_of({0, 1, 2, 3, 4, 5})};
  const ScoredRows three[] = {rows_of({5, 0}), rows_of({}), rows_of({4, 2, 1, 3})};
  const ChunkResult result = assemble_chunk(one, kLastOfAll);
  EXPECT_EQ(assemble_chunk(three, kLastOfAll), result);
  EXPECT_EQ(values_of<int64_t>(result.accepted, "record"), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values_of<double>(result.accepted, "logprob"), (std::vector<double>{0, 10, 41, 0, 40, 101}));
  EXPECT_EQ(values_of<int32_t>(result.accepted, "tokens"), (std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(values_of<uint8_t>(result.accepted, "greedy"), (std::vector<uint8_t>{1, 0, 1, 1, 1, 0}));
  EXPECT_EQ(values_of<float>(result.accepted, "token_logprob"), (std::vector<float>{10, 20, 21, 40, 50, 51}));
  EXPECT_EQ(column_of(result.accepted, "token_logprob").offsets, (std::vector<int64_t>{0, 0, 1, 3, 3, 4, 6}));
  EXPECT_EQ(values_of<float>(result.accepted, "embedding")[2 * 4], 400);
}

TEST(ScoredRows, TheInputHashSeesEveryRecord) {
  const ScoredRows parts[] = {rows_of({0, 1})};
  ScoredRows changed = rows_of({0, 1});
  changed.hash[1].low = 2;
  const ScoredRows others[] = {changed};
  EXPECT_NE(assemble_chunk(parts, kLastOfAll).input_hash, assemble_chunk(others, kLastOfAll).input_hash);
}

}  // namespace
}  // namespace switchyard
