// What an import reads: files, taken apart into documents by one thread at a time, and made tokens of by many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "io/byte_stream.h"

namespace switchyard {

/// Token ids are int32_t in the scoring input.
constexpr int64_t kMaxTokenId = INT32_MAX;

/// As a source has it, before anybody has looked into it: a line, a row, a piece of a text, an array's record.
struct RawDocument {
  int64_t number = 0;                   ///< its line in the file (from 1), or its record (from 0)
  std::string text = {};                ///< of a line or text
  std::vector<std::string> cells = {};  ///< of a row
  std::vector<int32_t> tokens = {};     ///< of an array
  std::string reject = {};              ///< not empty: why it cannot be used
  bool begins = true, ends = true;      ///< a document larger than memory comes in parts
};

/// A document, or (a part after the first, or before the last) some of its tokens.
struct Document {
  std::string source;             ///< the file
  std::optional<int64_t> line;    ///< of that file, from 1, where a line is a document
  std::optional<int64_t> record;  ///< from 0, where the file is an array of documents
  std::string id, label;
  std::string reject;  ///< not empty: why it cannot be used, and then it has no tokens
  std::vector<int32_t> tokens;
  /// Set for a record given as context and continuation, which is never split: how many tokens are the context.
  std::optional<int64_t> context;
  bool is_text = false;                   ///< the tokens were made from text
  bool empty_context = false;             ///< the context is what stands for an empty one
  int64_t spellings_left = 0;             ///< of special tokens, left as text
  std::vector<std::string> other_fields;  ///< that have no meaning here
  bool begins = true, ends = true;
};

/// What a source was, by its bytes, and how it was read.
struct SourceIdentity {
  std::string path;
  std::string name = {}, format = {};  ///< in ids; as jsonl
  uint64_t bytes = 0;
  Hash128 hash;
};

/// One file (or, of arrays, two).
class DocumentSource {
 public:
  virtual ~DocumentSource() = default;
  /// Appends the documents that follow, of about a megabyte; false: there are none left. Fails (input) on a source that
  /// cannot be read at all. One thread at a time.
  virtual bool next(std::vector<RawDocument>& documents) = 0;
  /// Makes tokens of one. All checks of a document's content are here, or in next(): a bad one is a reject. Any thread.
  virtual Document encode(RawDocument raw) const = 0;
  /// After the end; empty: it has not been read from front to back.
  virtual std::optional<SourceIdentity> identity() const = 0;
};

/// Of one batch.
constexpr size_t kBatchBytes = size_t{1} << 20, kBatchDocuments = size_t{1} << 12;

/// What is known of the document of a line or row before it is read: also that it is a reject.
Document document_of_line(const std::string& path, const std::string& name, const RawDocument& raw);

/// Calls `read`; if it fails (input), the document is a reject for that reason.
void or_reject(Document& document, const std::function<void()>& read);

/// What a file was that `bytes` has read.
SourceIdentity identity_of(const std::string& path, const ByteStream& bytes);

}  // namespace switchyard
