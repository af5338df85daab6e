// A document from a text file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"
#include "io/text_stream.h"

namespace switchyard {

/// What to call files in ids: the file name alone, or the path as given where two share a file name; both as
/// path_to_text() has them.
std::vector<std::string> document_names(const std::vector<std::string>& paths);

/// One document, read in blocks. An empty file is a reject; so is one longer than `max_document_bytes`, unless the
/// tokenizer streams.
class TextSource : public DocumentSource {
 public:
  /// name: the document's id. poll: see ByteStream.
  TextSource(const std::string& path, std::string name, const EncodeRules& rules, uint64_t max_document_bytes,
             std::function<void()> poll = {});
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override;

 private:
  void read_whole(RawDocument& raw);
  const std::string path_, name_;
  const EncodeRules& rules_;
  const uint64_t max_document_bytes_;
  TextStream file_;
  std::string block_;  ///< the next
  bool begun_ = false;
};

}  // namespace switchyard
