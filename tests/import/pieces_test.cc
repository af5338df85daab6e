#include "import/pieces.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

struct Read {
  std::vector<int32_t> tokens;
  int64_t context, index;
  bool last;
  bool operator==(const Read&) const = default;
};

void PrintTo(const Read& r, std::ostream* out) {
  *out << fmt::format("[{}] context {} index {} last {}", fmt::join(r.tokens, " "), r.context, r.index, r.last);
}

/// Pieces of the document 1, 2, … length, handed over in blocks of at most `block` tokens.
std::vector<Read> split(int32_t length, const SplitOptions& options, const TokenFrame& frame = {},
                        size_t block = 1000) {
  std::vector<int32_t> document(static_cast<size_t>(length));
  std::iota(document.begin(), document.end(), 1);
  std::vector<Read> pieces;
  PieceSplitter splitter(options, [&](const Piece& piece) {
    pieces.push_back({{piece.tokens.begin(), piece.tokens.end()}, piece.context, piece.index, piece.last});
  });
  splitter.begin(frame);
  for (size_t used = 0; used < document.size(); used += block)
    splitter.add(std::span(document).subspan(used, std::min(block, document.size() - used)));
  splitter.end();
  return pieces;
}

TokenFrame bos(int32_t id) {
  return {{id}, {}};
}

TEST(PieceSplitter, AShortDocumentIsOnePiece) {
  EXPECT_EQ(split(3, {.max_tokens = 4}), (std::vector<Read>{{{1, 2, 3}, 1, 0, true}}));
  EXPECT_EQ(split(4, {.max_tokens = 4}), (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, true}}));
  EXPECT_EQ(split(1, {.max_tokens = 4}), (std::vector<Read>{{{1}, 1, 0, true}}));
  EXPECT_EQ(split(3, {.max_tokens = 4}, bos(0)), (std::vector<Read>{{{0, 1, 2, 3}, 1, 0, true}}));
  EXPECT_EQ(split(3, {.max_tokens = 4, .overlap = 2}), (std::vector<Read>{{{1, 2, 3}, 1, 0, true}}));
}

TEST(PieceSplitter, AnEmptyDocumentHasNoPieces) {
  EXPECT_TRUE(split(0, {.max_tokens = 4}).empty());
  EXPECT_TRUE(split(0, {.max_tokens = 4}, bos(7)).empty());
}

TEST(PieceSplitter, SplitsWithoutOverlap) {
  EXPECT_EQ(split(7, {.max_tokens = 3}),
            (std::vector<Read>{{{1, 2, 3}, 1, 0, false}, {{4, 5, 6}, 1, 1, false}, {{7}, 1, 2, true}}));
  EXPECT_EQ(split(6, {.max_tokens = 3}), (std::vector<Read>{{{1, 2, 3}, 1, 0, false}, {{4, 5, 6}, 1, 1, true}}));
}

TEST(PieceSplitter, RepeatsTheOverlapAsContext) {
  EXPECT_EQ(split(6, {.max_tokens = 4, .overlap = 2}),
            (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, false}, {{3, 4, 5, 6}, 2, 1, true}}));
  EXPECT_EQ(split(5, {.max_tokens = 4, .overlap = 3}),
            (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, false}, {{2, 3, 4, 5}, 3, 1, true}}));
}

TEST(PieceSplitter, PutsBosBeforeEveryPiece) {
  EXPECT_EQ(split(5, {.max_tokens = 4}, bos(9)),
            (std::vector<Read>{{{9, 1, 2, 3}, 1, 0, false}, {{9, 4, 5}, 1, 1, true}}));
  EXPECT_EQ(split(6, {.max_tokens = 4, .overlap = 1}, bos(9)),
            (std::vector<Read>{{{9, 1, 2, 3}, 1, 0, false}, {{9, 3, 4, 5}, 2, 1, false}, {{9, 5, 6}, 2, 2, true}}));
}

// Every token is new in exactly one piece, pieces are full but the last, and neither depends on how the tokens arrive.
TEST(PieceSplitter, Properties) {
  for (const int32_t length : {1, 2, 5, 6, 7, 8, 23, 64, 65})
    for (const int64_t max_tokens : {2, 3, 5, 8, 64})
      for (const bool has_bos : {false, true})
        for (int64_t overlap = 0; overlap + has_bos < max_tokens; ++overlap) {
          const SplitOptions options{max_tokens, overlap};
          const TokenFrame frame = has_bos ? bos(1000) : TokenFrame();
          const auto pieces = split(length, options, frame);
          EXPECT_EQ(pieces, split(length, options, frame, 1));
          const size_t num_bos = has_bos;
          std::vector<int32_t> joined;
          for (size_t i = 0; i < pieces.size(); ++i) {
            const Read& piece = pieces[i];
            const size_t repeated = i == 0 ? 0 : static_cast<size_t>(overlap);
            ASSERT_GT(piece.tokens.size(), num_bos + repeated);
            EXPECT_EQ(piece.context, std::max<int64_t>(1, static_cast<int64_t>(num_bos + repeated)));
            EXPECT_EQ(piece.index, static_cast<int64_t>(i));
            EXPECT_EQ(piece.last, i + 1 == pieces.size());
            EXPECT_TRUE(num_bos == 0 || piece.tokens.front() == 1000);
            EXPECT_LE(piece.tokens.size(), static_cast<size_t>(max_tokens));
            EXPECT_TRUE(piece.last || piece.tokens.size() == static_cast<size_t>(max_tokens));
            const auto fresh = piece.tokens.begin() + static_cast<ptrdiff_t>(num_bos + repeated);
            EXPECT_TRUE(std::equal(piece.tokens.begin() + static_cast<ptrdiff_t>(num_bos), fresh,
                                   joined.end() - static_cast<ptrdiff_t>(repeated)));
            joined.insert(joined.end(), fresh, piece.tokens.end());
          }
          std::vector<int32_t> whole(static_cast<size_t>(length));
          std::iota(whole.begin(), whole.end(), 1);
          EXPECT_EQ(joined, whole);
        }
}

TEST(PieceSplitter, WhatStandsBehindATextEndsItsLastPiece) {
  const TokenFrame frame{{8}, {9}};
  EXPECT_EQ(split(2, {.max_tokens = 4}, frame), (std::vector<Read>{{{8, 1, 2, 9}, 1, 0, true}}));
  EXPECT_EQ(split(3, {.max_tokens = 4}, frame), (std::vector<Read>{{{8, 1, 2, 3}, 1, 0, false}, {{8, 9}, 1, 1, true}}));
  EXPECT_TRUE(split(0, {.max_tokens = 4}, frame).empty());
}

// get_rolling_token_windows(range(1, 12), prefix_token=0, max_seq_len=4, context_len=1), made disjoint: inputs
// [0 1 2 3], [4 5 6 7], [7 8 9 10] and predictions [1 2 3 4], [5 6 7 8], [9 10 11].
TEST(PieceSplitter, WindowsAreThoseOfLmEvaluationHarness) {
  EXPECT_EQ(split(11, {.max_tokens = 5, .overlap = 1, .windows = true}, bos(0)),
            (std::vector<Read>{
                {{0, 1, 2, 3, 4}, 1, 0, false}, {{4, 5, 6, 7, 8}, 1, 1, false}, {{7, 8, 9, 10, 11}, 2, 2, true}}));
}

// Every token after the first is scored once, with at least the overlap before it.
TEST(PieceSplitter, WindowsScoreEveryTokenOnce) {
  for (const int32_t length : {1, 2, 5, 6, 7, 8, 23, 64, 65})
    for (const int64_t max_tokens : {2, 3, 5, 8, 64})
      for (int64_t overlap = 1; overlap < max_tokens; ++overlap) {
        const SplitOptions options{max_tokens, overlap, true};
        const auto pieces = split(length, options);
        EXPECT_EQ(pieces, split(length, options, {}, 3));
        int32_t next = 2;
        for (const Read& piece : pieces) {
          EXPECT_EQ(std::ssize(piece.tokens), std::min<int64_t>(length, max_tokens));
          EXPECT_GE(piece.context, piece.index == 0 ? 1 : overlap);
          for (size_t i = static_cast<size_t>(piece.context); i < piece.tokens.size(); ++i)
            EXPECT_EQ(piece.tokens[i], next++);
          EXPECT_EQ(piece.tokens.back(), next - 1);
        }
        EXPECT_EQ(next, length + 1);
      }
}

// A piece may be allowed to be far larger than any document: nothing is reserved for it.
TEST(PieceSplitter, MemoryFollowsTheDocument) {
  EXPECT_EQ(split(200'000, {.max_tokens = INT32_MAX}).at(0).tokens.size(), 200'000u);
}

TEST(PieceSplitter, NeedsRoomForANewToken) {
  EXPECT_TRUE(test::fails(ExitCode::internal, {"4"}, [] { split(1, {.max_tokens = 4, .overlap = 4}); }));
  EXPECT_TRUE(test::fails(ExitCode::internal, {"4"}, [] { split(1, {.max_tokens = 4, .overlap = 3}, bos(0)); }));
}

}  // namespace
}  // namespace switchyard
