// Documents from JSON Lines.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/document_source.h"
#include "io/line_reader.h"
#include "io/tokenizer.h"

namespace switchyard {

/// What one line says. Exactly one of the forms
///   {"text": …}  {"context": …, "continuation": …}  {"tokens": […]}  {"context_tokens": […], "continuation_tokens":
///   […]}
/// with, optionally, "id" (string or integer) and "label" (string, integer or boolean). A field that is null is absent.
struct JsonlRecord {
  std::vector<int32_t> tokens;
  std::optional<int64_t> context;  ///< leading tokens that are the context, where the form has one
  std::optional<std::string> id;
  std::string label;
  std::vector<std::string> other_fields;
  bool is_text = false;  ///< the tokens were made from text
};
/// Fails (input) with the reason, without naming the line.
JsonlRecord parse_jsonl_record(std::string_view line, const Tokenizer& tokenizer);

/// Bad lines become rejects, blank lines are skipped. A missing id becomes FILE:LINE. Fields of no meaning here are
/// named once, in the log.
class JsonlSource : public DocumentSource {
 public:
  JsonlSource(std::vector<std::string> paths, const Tokenizer& tokenizer, uint64_t max_line_bytes);
  bool next(Document& document) override;
  size_t read(std::span<int32_t> out) override;
  bool encoded_text() const override { return encoded_text_; }

 private:
  bool next_line();
  void name_other_fields(const std::vector<std::string>& fields);
  std::vector<std::string> paths_, names_;
  const Tokenizer& tokenizer_;
  uint64_t max_line_bytes_;
  size_t next_path_ = 0;
  std::optional<LineReader> lines_;
  std::vector<int32_t> tokens_;
  size_t used_ = 0;  ///< of tokens_
  std::set<std::string> named_fields_;
  bool encoded_text_ = false;
};

}  // namespace switchyard
