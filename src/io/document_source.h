// What `switchyard import` reads: documents one by one, the tokens of each as a stream, so that a document may be
// larger than memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace switchyard {

/// Token ids are int32_t in the scoring input.
constexpr int64_t kMaxTokenId = INT32_MAX;

struct Document {
  std::string source;             ///< the file
  std::optional<int64_t> line;    ///< of that file, from 1, where a line is a document
  std::optional<int64_t> record;  ///< from 0, where the file is an array of documents
  std::string id, label;
  std::string reject;  ///< not empty: why it cannot be used, and then it has no tokens

  /// Set for a record given as context and continuation: it is never split.
  struct Fixed {
    int64_t context, tokens;
  };
  std::optional<Fixed> fixed;
};

class DocumentSource {
 public:
  virtual ~DocumentSource() = default;
  /// Moves on to the next document; false after the last. All checks of a document's content are made here. Fails
  /// (input) on a source that cannot be read at all.
  virtual bool next(Document& document) = 0;
  /// The following tokens of that document, up to out.size(); 0 at its end.
  virtual size_t read(std::span<int32_t> out) = 0;
  /// Whether a tokenizer made any of the tokens so far; otherwise they came as ids.
  virtual bool encoded_text() const = 0;
};

}  // namespace switchyard
