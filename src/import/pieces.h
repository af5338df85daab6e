// Splits a document into records of at most so many tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tokens/tokenizer.h"

namespace switchyard {

struct SplitOptions {
  int64_t max_tokens = 1024;  ///< of a piece, the frame included
  int64_t overlap = 0;        ///< tokens repeated from the piece before, as context
  /// Pieces are windows over a whole: the frame is put around the document, not before every piece, and the last piece
  /// reaches back until it is as long as the others.
  bool windows = false;
};

struct Piece {
  std::span<const int32_t> tokens;
  int64_t context = 0;  ///< leading tokens given, not scored: frame and, after the first piece, overlap; at least 1
  int64_t index = 0;
  bool last = false;
};

/// Cuts documents as their tokens come. Every token of a document is new in exactly one piece; an empty document has no
/// pieces. As lm-evaluation-harness's get_rolling_token_windows with windows, an overlap of context_len and max_tokens
/// of max_seq_len + 1. Memory is that of two pieces.
class PieceSplitter {
 public:
  using Sink = std::function<void(const Piece&)>;

  /// 0 ≤ overlap, overlap + tokens before a text < max_tokens, so that every piece has a new token.
  PieceSplitter(const SplitOptions& options, Sink sink);
  void begin(const TokenFrame& frame);
  void add(std::span<const int32_t> tokens);
  void end();

 private:
  void append(std::span<const int32_t> tokens);
  void emit(bool last);
  void begin_next_piece();
  void reach_back();
  SplitOptions options_;
  Sink sink_;
  TokenFrame frame_;
  std::vector<int32_t> piece_, previous_;
  size_t given_ = 0;  ///< tokens at the beginning of piece_ that are not new
  bool has_tokens_ = false;
  int64_t next_index_ = 0;
};

}  // namespace switchyard
