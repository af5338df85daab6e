// Documents from text files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/document_source.h"
#include "io/text_stream.h"
#include "io/tokenizer.h"

namespace switchyard {

/// What to call files in ids: the file name alone, or the path as given where two share a file name; both as
/// path_to_text() has them.
std::vector<std::string> document_names(const std::vector<std::string>& paths);

/// One document a file, read in blocks. An empty file is a reject; so is one longer than `max_document_bytes`, unless
/// the tokenizer streams.
class TextSource : public DocumentSource {
 public:
  TextSource(std::vector<std::string> paths, const Tokenizer& tokenizer, uint64_t max_document_bytes);
  bool next(Document& document) override;
  size_t read(std::span<int32_t> out) override;
  bool encoded_text() const override { return true; }

 private:
  void read_block();
  std::string read_whole();
  std::vector<std::string> paths_, names_;
  const Tokenizer& tokenizer_;
  const uint64_t max_document_bytes_;
  size_t next_path_ = 0;
  std::optional<TextStream> file_;
  std::string block_;            ///< not yet encoded; the whole document, unless the tokenizer streams
  std::vector<int32_t> tokens_;  ///< of the block read last
  size_t used_ = 0;              ///< of tokens_
};

}  // namespace switchyard
