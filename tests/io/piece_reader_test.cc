#include "io/piece_reader.h"

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
std::vector<Read> split(int32_t length, const SplitOptions& options, size_t block = 1000) {
  std::vector<int32_t> document(static_cast<size_t>(length));
  std::iota(document.begin(), document.end(), 1);
  size_t used = 0;
  PieceReader reader(options, [&](std::span<int32_t> out) {
    const size_t count = std::min({block, out.size(), document.size() - used});
    std::copy_n(document.begin() + static_cast<ptrdiff_t>(used), count, out.begin());
    used += count;
    return count;
  });
  std::vector<Read> pieces;
  Piece piece;
  while (reader.next(piece))
    pieces.push_back({{piece.tokens.begin(), piece.tokens.end()}, piece.context, piece.index, piece.last});
  EXPECT_FALSE(reader.next(piece));
  return pieces;
}

TEST(PieceReader, AShortDocumentIsOnePiece) {
  EXPECT_EQ(split(3, {.max_tokens = 4}), (std::vector<Read>{{{1, 2, 3}, 1, 0, true}}));
  EXPECT_EQ(split(4, {.max_tokens = 4}), (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, true}}));
  EXPECT_EQ(split(1, {.max_tokens = 4}), (std::vector<Read>{{{1}, 1, 0, true}}));
  EXPECT_EQ(split(3, {.max_tokens = 4, .bos = 0}), (std::vector<Read>{{{0, 1, 2, 3}, 1, 0, true}}));
  EXPECT_EQ(split(3, {.max_tokens = 4, .overlap = 2}), (std::vector<Read>{{{1, 2, 3}, 1, 0, true}}));
}

TEST(PieceReader, AnEmptyDocumentHasNoPieces) {
  EXPECT_TRUE(split(0, {.max_tokens = 4}).empty());
  EXPECT_TRUE(split(0, {.max_tokens = 4, .bos = 7}).empty());
}

TEST(PieceReader, SplitsWithoutOverlap) {
  EXPECT_EQ(split(7, {.max_tokens = 3}),
            (std::vector<Read>{{{1, 2, 3}, 1, 0, false}, {{4, 5, 6}, 1, 1, false}, {{7}, 1, 2, true}}));
  EXPECT_EQ(split(6, {.max_tokens = 3}), (std::vector<Read>{{{1, 2, 3}, 1, 0, false}, {{4, 5, 6}, 1, 1, true}}));
}

TEST(PieceReader, RepeatsTheOverlapAsContext) {
  EXPECT_EQ(split(6, {.max_tokens = 4, .overlap = 2}),
            (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, false}, {{3, 4, 5, 6}, 2, 1, true}}));
  EXPECT_EQ(split(5, {.max_tokens = 4, .overlap = 3}),
            (std::vector<Read>{{{1, 2, 3, 4}, 1, 0, false}, {{2, 3, 4, 5}, 3, 1, true}}));
}

TEST(PieceReader, PutsBosBeforeEveryPiece) {
  EXPECT_EQ(split(5, {.max_tokens = 4, .bos = 9}),
            (std::vector<Read>{{{9, 1, 2, 3}, 1, 0, false}, {{9, 4, 5}, 1, 1, true}}));
  EXPECT_EQ(split(6, {.max_tokens = 4, .overlap = 1, .bos = 9}),
            (std::vector<Read>{{{9, 1, 2, 3}, 1, 0, false}, {{9, 3, 4, 5}, 2, 1, false}, {{9, 5, 6}, 2, 2, true}}));
}

// Every token is new in exactly one piece, pieces are full but the last, and neither depends on how the tokens arrive.
TEST(PieceReader, Properties) {
  for (const int32_t length : {1, 2, 5, 6, 7, 8, 23, 64, 65})
    for (const int64_t max_tokens : {2, 3, 5, 8, 64})
      for (const int64_t bos : {-1, 1000})
        for (int64_t overlap = 0; overlap + (bos >= 0) < max_tokens; ++overlap) {
          const SplitOptions options{max_tokens, overlap, bos};
          const auto pieces = split(length, options);
          EXPECT_EQ(pieces, split(length, options, 1));
          const size_t num_bos = bos >= 0;
          std::vector<int32_t> joined;
          for (size_t i = 0; i < pieces.size(); ++i) {
            const Read& piece = pieces[i];
            const size_t repeated = i == 0 ? 0 : static_cast<size_t>(overlap);
            ASSERT_GT(piece.tokens.size(), num_bos + repeated);
            EXPECT_EQ(piece.context, std::max<int64_t>(1, static_cast<int64_t>(num_bos + repeated)));
            EXPECT_EQ(piece.index, static_cast<int64_t>(i));
            EXPECT_EQ(piece.last, i + 1 == pieces.size());
            EXPECT_TRUE(num_bos == 0 || piece.tokens.front() == bos);
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

// A piece may be allowed to be far larger than any document: nothing is reserved for it.
TEST(PieceReader, MemoryFollowsTheDocument) {
  EXPECT_EQ(split(200'000, {.max_tokens = INT32_MAX}).at(0).tokens.size(), 200'000u);
}

TEST(PieceReader, NeedsRoomForANewToken) {
  EXPECT_TRUE(test::fails(ExitCode::internal, {"4"}, [] { split(1, {.max_tokens = 4, .overlap = 4}); }));
  EXPECT_TRUE(test::fails(ExitCode::internal, {"4"}, [] { split(1, {.max_tokens = 4, .overlap = 3, .bos = 0}); }));
}

}  // namespace
}  // namespace switchyard
