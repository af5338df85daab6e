// How a text is split into words: the pre-tokenizers Split, ByteLevel, Metaspace and Digits, and sequences of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokens/pattern.h"

namespace switchyard {

/// A text cut into pieces, which need not cover it, and where a step puts what comes of them.
class Pieces {
 public:
  struct Piece {
    size_t begin, end;
  };
  /// Bytes that can be read from the start of any piece on.
  static constexpr size_t kReadable = 16;

  /// One piece, of all of `text` (not empty).
  void assign(std::string_view text);
  const std::vector<Piece>& pieces() const { return pieces_; }
  std::string_view text(Piece piece) const { return {text_.data() + piece.begin, piece.end - piece.begin}; }

  std::vector<Piece> next;
  std::string next_text;
  std::vector<Span> spans;
  void take_next();       ///< next as pieces
  void take_next_text();  ///< the same, of next_text

 private:
  std::string text_;  ///< and kReadable bytes more
  std::vector<Piece> pieces_;
};

class PreTokenizer {
 public:
  /// Fails (input) with `subject` for what is not supported, naming it. `component` may be null.
  /// normalizer_moves_start: as Normalizer says.
  PreTokenizer(const Json& component, const std::string& subject, bool normalizer_moves_start);
  PreTokenizer() = default;  ///< splits nothing

  /// at_start: whether the text is the beginning of what is encoded.
  void split(Pieces& pieces, bool at_start) const;
  /// Whether words go to the model as bytes (ByteLevel).
  bool byte_level() const { return byte_level_; }

  class Step;

 private:
  void add(const Json& component, const std::string& subject);
  bool normalizer_moves_start_ = false, byte_level_ = false;
  std::vector<std::shared_ptr<const Step>> steps_;
};

}  // namespace switchyard
