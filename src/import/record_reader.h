// What a record (a line of JSON, a row of a table) says, and its tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "import/document_source.h"
#include "io/json.h"
#include "tokens/framing.h"
#include "tokens/tokenizer.h"

namespace switchyard {

/// In errors.
inline constexpr std::string_view kRecordSubject = "record";

/// Fields that are called otherwise in this data; "a.b" is field b of the object that field a is (unless there is a
/// field "a.b"). Empty: as in RecordReader. Where text, context or continuation is named, that alone is looked for.
struct FieldNames {
  std::string text = {}, context = {}, continuation = {}, id = {};
};

/// How text becomes tokens.
struct EncodeRules {
  const Tokenizer* tokenizer = nullptr;
  Framing framing = {};
  bool special_in_text = false;  ///< see EncodeOptions
  FieldNames fields = {};

  /// Appends the ids of a text; what it finds out goes into the document.
  void encode(std::string_view text, Document& document) const;
};

/// Exactly one of the forms
///   {"text": …}  {"context": …, "continuation": …}  {"tokens": […]}  {"context_tokens": […], "continuation_tokens":
///   […]}
/// with, optionally, "id" (string or integer) and "label" (string, integer or boolean). A field that is null is absent.
///
/// A context and its continuation are encoded as lm-evaluation-harness does (HFLM._encode_pair): white space at the
/// context's end goes to the continuation, whose tokens are encode(both)[len(encode(context)):]. An empty context is
/// what comes before every text, or Framing::empty_context, unless the continuation begins with it: then it is that.
class RecordReader {
 public:
  explicit RecordReader(const EncodeRules& rules);
  /// Fills tokens, context, id, label. Fails (input) with the reason, without naming the line.
  void read(const Json& record, Document& document) const;

  bool knows(std::string_view field) const;  ///< a field of the record itself that has a meaning here
  /// As they are called in this data.
  const FieldNames& fields() const { return fields_; }

 private:
  void read_tokens(const Json& record, Document& document) const;
  void encode_pair(std::string context, std::string_view continuation, Document& document) const;
  const EncodeRules& rules_;
  FieldNames fields_;
  bool looks_for_text_, looks_for_pair_, looks_for_ids_;
  std::vector<std::string> known_;  ///< fields, by the name that stands in the record itself
};

/// Without the white space at its end, as Python's str.rstrip(). `text` is UTF-8.
std::string_view without_trailing_space(std::string_view text);

}  // namespace switchyard
