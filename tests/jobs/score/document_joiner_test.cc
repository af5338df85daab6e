#include "jobs/score/document_joiner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/column_of.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::values_of;

const ResultOptions kOptions{.per_token = true};
const std::vector<int64_t> kPieces = {3, 1, 4, 1, 2, 1};  // of each document
constexpr int64_t kAllPieces = 12;

class DocumentJoinerTest : public ::testing::Test {
 protected:
  DocumentJoinerTest() {
    ScoringInputWriter writer(directory_ / "input.h5", {.documents = true});
    for (const int64_t pieces : kPieces) {
      for (int64_t i = 0; i < pieces; ++i) writer.add(std::vector<int32_t>{1}, 1, "", "");
      writer.end_document();
    }
    writer.finish();
    input_.emplace(directory_ / "input.h5");
  }

  /// Record r has r % 3 tokens of log-probability -r.
  static ChunkResult chunk(int64_t number, int64_t first, int64_t count, const std::set<int64_t>& rejected) {
    ChunkResult chunk;
    chunk.chunk = number;
    chunk.first_record = first;
    chunk.num_records = count;
    chunk.accepted = ResultRows(kOptions);
    chunk.expert_tokens = {1, 1, {count}};
    for (int64_t record = first; record < first + count; ++record) {
      const std::vector<float> logprob(static_cast<size_t>(record % 3), static_cast<float>(-record));
      const std::vector<int32_t> tokens(logprob.size(), 1);
      if (rejected.contains(record))
        chunk.rejects.push_back({record, fmt::format("bad {}", record)});
      else
        chunk.accepted.append({record, logprob, tokens, tokens});
    }
    return chunk;
  }

  /// All documents, of chunks of so many records.
  ChunkResult join(int64_t chunk_records, const std::set<int64_t>& rejected = {}) const {
    DocumentJoiner joiner(&*input_, kOptions);
    ChunkResult all;
    all.accepted = ResultRows(kOptions);
    int64_t number = 0;
    for (int64_t first = 0; first < kAllPieces; first += chunk_records, ++number) {
      const int64_t count = std::min(chunk_records, kAllPieces - first);
      const ChunkResult documents = joiner.add(chunk(number, first, count, rejected));
      EXPECT_EQ(documents.chunk, number);
      EXPECT_EQ(documents.expert_tokens.tokens, std::vector<int64_t>{count});
      EXPECT_EQ(documents.first_record, all.num_records);
      EXPECT_EQ(std::ssize(documents.accepted.records()) + std::ssize(documents.rejects), documents.num_records);
      for (int64_t row = 0; row < std::ssize(documents.accepted.records()); ++row)
        all.accepted.append(documents.accepted, row);
      all.rejects.insert(all.rejects.end(), documents.rejects.begin(), documents.rejects.end());
      all.num_records += documents.num_records;
    }
    EXPECT_EQ(all.num_records, std::ssize(kPieces));
    return all;
  }

  test::TemporaryDirectory directory_;
  std::optional<ScoringInput> input_;
};

TEST_F(DocumentJoinerTest, WhereverChunksEnd) {
  for (int64_t chunk_records = 1; chunk_records <= kAllPieces; ++chunk_records) {
    const ChunkResult all = join(chunk_records);
    EXPECT_TRUE(all.rejects.empty());
    ASSERT_EQ(values_of<int64_t>(all.accepted, "record"), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
    std::vector<double> sums;
    std::vector<float> each;
    int64_t record = 0;
    for (const int64_t pieces : kPieces) {
      sums.push_back(0);
      for (const int64_t end = record + pieces; record < end; ++record)
        for (int64_t token = 0; token < record % 3; ++token) {
          sums.back() -= static_cast<double>(record);
          each.push_back(static_cast<float>(-record));
        }
    }
    EXPECT_EQ(values_of<double>(all.accepted, "logprob"), sums) << chunk_records;
    EXPECT_EQ(values_of<float>(all.accepted, "token_logprob"), each) << chunk_records;
    EXPECT_EQ(values_of<int32_t>(all.accepted, "tokens"), (std::vector<int32_t>{3, 0, 4, 2, 1, 2}));
  }
}

TEST_F(DocumentJoinerTest, ARejectedPieceRejectsItsDocument) {
  struct Case {
    std::set<int64_t> records;
    std::vector<Reject> documents;
  };
  const Case cases[] = {
      {{0}, {{0, "piece 1 of 3: bad 0"}}},    {{1}, {{0, "piece 2 of 3: bad 1"}}},
      {{2}, {{0, "piece 3 of 3: bad 2"}}},    {{3}, {{1, "bad 3"}}},
      {{5, 7}, {{2, "piece 2 of 4: bad 5"}}}, {{7, 8, 11}, {{2, "piece 4 of 4: bad 7"}, {3, "bad 8"}, {5, "bad 11"}}}};
  const ChunkResult whole = join(kAllPieces);
  for (const Case& c : cases)
    for (const int64_t chunk_records : {1, 2, 3, 5, 12}) {
      const ChunkResult all = join(chunk_records, c.records);
      EXPECT_EQ(all.rejects, c.documents);
      ResultRows others(kOptions);
      for (int64_t document = 0; document < std::ssize(kPieces); ++document)
        if (std::ranges::find(c.documents, document, &Reject::record) == c.documents.end())
          others.append(whole.accepted, document);
      EXPECT_EQ(all.accepted, others) << "no piece of a rejected document is left anywhere";
    }
}

TEST_F(DocumentJoinerTest, BeginsWithAnyDocument) {
  DocumentJoiner joiner(&*input_, kOptions, 4);
  const ChunkResult documents = joiner.add(chunk(0, 9, 2, {10}));
  EXPECT_EQ(documents.first_record, 4);
  EXPECT_EQ(documents.rejects, (std::vector<Reject>{{4, "piece 2 of 2: bad 10"}}));
}

TEST_F(DocumentJoinerTest, RecordsThatAreNoPiecesStayAsTheyAre) {
  {
    ScoringInputWriter writer(directory_ / "plain.h5");
    for (int64_t i = 0; i < 3; ++i) writer.add(std::vector<int32_t>{1}, 1, "", "");
    writer.finish();
  }
  const ScoringInput plain(directory_ / "plain.h5");
  const ChunkResult some = chunk(7, 0, 3, {1});
  EXPECT_EQ(DocumentJoiner(&plain, kOptions).add(some), some);
  EXPECT_EQ(DocumentJoiner(nullptr, kOptions).add(some), some);
}

TEST_F(DocumentJoinerTest, NoDocumentsAtAll) {
  ScoringInputWriter(directory_ / "none.h5", {.documents = true}).finish();
  const ScoringInput none(directory_ / "none.h5");
  EXPECT_TRUE(none.joined());
  EXPECT_TRUE(DocumentCursor(none).at_end());
  EXPECT_EQ(DocumentJoiner(&none, kOptions).add(chunk(0, 0, 0, {})).num_records, 0);
}

TEST_F(DocumentJoinerTest, ACursorReadsOnFromBlockToBlock) {
  constexpr int64_t kDocuments = 70'000;
  {
    ScoringInputWriter writer(directory_ / "many.h5", {.documents = true});
    for (int64_t d = 0; d < kDocuments; ++d) {
      for (int64_t piece = 0; piece <= d % 2; ++piece) writer.add({}, 1, "", "");
      writer.end_document();
    }
    writer.finish();
  }
  const ScoringInput many(directory_ / "many.h5");
  DocumentCursor cursor(many);
  int64_t record = 0, documents = 0;
  for (; !cursor.at_end(); cursor.next(), ++documents) {
    ASSERT_EQ(cursor.index(), documents);
    ASSERT_EQ(cursor.begin(), record);
    record += 1 + documents % 2;
    ASSERT_EQ(cursor.end(), record);
  }
  EXPECT_EQ(documents, kDocuments);
  EXPECT_TRUE(test::fails(ExitCode::internal, {"behind"}, [&] { cursor.next(); }));
}

}  // namespace
}  // namespace switchyard
