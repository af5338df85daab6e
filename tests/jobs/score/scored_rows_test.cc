#include "jobs/score/scored_rows.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

/// A rank's rows of these records: values follow from the record's number alone.
ScoredRows rows_of(std::initializer_list<int64_t> records) {
  ScoredRows rows;
  for (const int64_t r : records) {
    rows.record.push_back(r);
    rows.logprob.push_back(-0.5 * static_cast<double>(r));
    rows.tokens.push_back(static_cast<int32_t>(r % 3));
    rows.greedy.push_back(r % 2 == 0 ? 1 : 0);
    for (int64_t t = 0; t < r % 3; ++t) rows.token_logprob.push_back(static_cast<float>(10 * r + t));
    for (int i = 0; i < 2; ++i) rows.embedding.push_back(static_cast<float>(100 * r + i));
    rows.hashed_record.push_back(r);
    rows.hash.push_back({static_cast<uint64_t>(r), 1});
  }
  return rows;
}

const ResultOptions kAll{true, "last", 2};

TEST(ScoredRows, SurviveTheJourney) {
  ScoredRows rows = rows_of({3, 5, 8});
  rows.rejects = {{4, "empty record"}, {6, ""}};
  const ScoredRows back = unpack_rows(pack_rows(rows));
  const ScoredRows parts[] = {rows}, parts_back[] = {back};
  EXPECT_EQ(assemble_chunk(parts_back, kAll), assemble_chunk(parts, kAll));
  EXPECT_EQ(back.rejects, rows.rejects);
}

TEST(ScoredRows, AssembledInInputOrderWhoeverScoredThem) {
  const ScoredRows one[] = {rows_of({0, 1, 2, 3, 4, 5})};
  const ScoredRows three[] = {rows_of({5, 0}), rows_of({}), rows_of({4, 2, 1, 3})};
  const ChunkResult result = assemble_chunk(one, kAll);
  EXPECT_EQ(assemble_chunk(three, kAll), result);
  EXPECT_EQ(result.record, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(result.token_offsets, (std::vector<int64_t>{0, 0, 1, 3, 3, 4, 6}));
  EXPECT_EQ(result.token_logprob, (std::vector<float>{10, 20, 21, 40, 50, 51}));
  EXPECT_EQ(result.embedding[2 * 4], 400);
}

TEST(ScoredRows, TheInputHashSeesEveryRecord) {
  const ScoredRows parts[] = {rows_of({0, 1})};
  ScoredRows changed = rows_of({0, 1});
  changed.hash[1].low = 2;
  const ScoredRows others[] = {changed};
  EXPECT_NE(assemble_chunk(parts, kAll).input_hash, assemble_chunk(others, kAll).input_hash);
}

}  // namespace
}  // namespace switchyard
