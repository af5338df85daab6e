// Splits a document into records of at most so many tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace switchyard {

struct SplitOptions {
  int64_t max_tokens = 1024;  ///< of a piece, bos included
  int64_t overlap = 0;        ///< tokens repeated from the piece before, as context
  int64_t bos = -1;           ///< token before every piece; -1: none
};

struct Piece {
  std::span<const int32_t> tokens;  ///< valid until the next piece is read
  int64_t context = 0;  ///< leading tokens given, not scored: bos, and the overlap after the first piece; at least 1
  int64_t index = 0;
  bool last = false;
};

/// The pieces of one document, in order. Every token of the document is new in exactly one piece; an empty document has
/// no pieces. Memory is that of one piece.
class PieceReader {
 public:
  using TokenReader = std::function<size_t(std::span<int32_t> out)>;  ///< as DocumentSource::read

  /// 0 ≤ overlap, overlap + (bos ? 1 : 0) < max_tokens, so that every piece has a new token.
  PieceReader(const SplitOptions& options, TokenReader read);
  bool next(Piece& piece);

 private:
  void fill();
  SplitOptions options_;
  TokenReader read_;
  size_t num_bos_, max_tokens_;
  std::vector<int32_t> window_;  ///< a piece and, unless it is the last, the token after it
  int64_t next_index_ = 0;
  bool ended_ = false;
};

}  // namespace switchyard
