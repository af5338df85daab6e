#include "import/record_reader.h"

#include <algorithm>

#include "tokens/unicode.h"

namespace switchyard {
namespace {

constexpr std::string_view kSubject = kRecordSubject;

/// Null: absent, or JSON null.
const Json* find_path(const Json& record, std::string_view path) {
  if (const Json* value = find_field(record, path)) return value;
  const size_t dot = path.find('.');
  if (dot == path.npos) return nullptr;
  const Json* object = find_field(record, path.substr(0, dot));
  return object == nullptr ? nullptr : find_path(*object, path.substr(dot + 1));
}

std::string string_at(const Json& record, std::string_view path) {
  const Json* value = find_path(record, path);
  if (value == nullptr) fail(ExitCode::input, "{}: field \"{}\" is missing (expected a string)", kSubject, path);
  if (!value->is_string())
    fail(ExitCode::input, "{}: field \"{}\": expected a string, found {}", kSubject, path, brief(*value));
  return value->get<std::string>();
}

void append_ids(const Json& record, std::string_view field, std::vector<int32_t>& tokens) {
  const std::vector<int64_t> ids = require_int_array(record, field, kSubject);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] > kMaxTokenId)
      fail(ExitCode::input, "{}: field \"{}[{}]\": expected a token id in 0 … {}, found {}", kSubject, field, i,
           kMaxTokenId, ids[i]);
    tokens.push_back(static_cast<int32_t>(ids[i]));
  }
}

/// An id or a label as text. A NUL would end the text early in an HDF5 string.
std::string text_of(const Json& value, std::string_view field, bool booleans_allowed) {
  if (value.is_number_integer() || (booleans_allowed && value.is_boolean())) return value.dump();
  if (!value.is_string())
    fail(ExitCode::input, "{}: field \"{}\": expected a string{} or an integer, found {}", kSubject, field,
         booleans_allowed ? ", a boolean" : "", brief(value));
  auto text = value.get<std::string>();
  if (text.find('\0') != text.npos) fail(ExitCode::input, "{}: field \"{}\": holds a NUL character", kSubject, field);
  return text;
}

}  // namespace

std::string_view without_trailing_space(std::string_view text) {
  // str.isspace() is White_Space, and four separators beside it.
  static const unicode::CodePointSet space = [] {
    unicode::CodePointSet set = unicode::CodePointSet::white_space();
    set.add({0x1c, 0x1f});
    return set;
  }();
  while (!text.empty()) {
    const char* last = unicode::previous(text.data() + text.size());
    if (!space.contains(unicode::decode(last).code_point)) break;
    text = text.substr(0, static_cast<size_t>(last - text.data()));
  }
  return text;
}

void EncodeRules::encode(std::string_view text, Document& document) const {
  document.is_text = true;
  document.spellings_left += tokenizer->encode(text, document.tokens, {.special_in_text = special_in_text});
}

RecordReader::RecordReader(const EncodeRules& rules) : rules_(rules), fields_(rules.fields) {
  const bool text_named = !fields_.text.empty(), pair_named = !fields_.context.empty() || !fields_.continuation.empty();
  looks_for_text_ = text_named || !pair_named;
  looks_for_pair_ = pair_named || !text_named;
  looks_for_ids_ = !text_named && !pair_named;
  for (const auto& [field, name] : {std::pair(&FieldNames::text, "text"),
                                    {&FieldNames::context, "context"},
                                    {&FieldNames::continuation, "continuation"},
                                    {&FieldNames::id, "id"}})
    if ((fields_.*field).empty()) fields_.*field = name;
  if (looks_for_text_) known_.push_back(fields_.text);
  if (looks_for_pair_) known_.insert(known_.end(), {fields_.context, fields_.continuation});
  if (looks_for_ids_) known_.insert(known_.end(), {"tokens", "context_tokens", "continuation_tokens"});
  known_.insert(known_.end(), {fields_.id, "label"});
}

void RecordReader::read(const Json& record, Document& document) const {
  if (!record.is_object()) fail(ExitCode::input, "{}: expected an object, found {}", kSubject, brief(record));
  read_tokens(record, document);
  if (const Json* id = find_path(record, fields_.id)) document.id = text_of(*id, fields_.id, false);
  if (const Json* label = find_field(record, "label")) document.label = text_of(*label, "label", true);
  for (const auto& [field, value] : record.items())
    if (!knows(field)) document.other_fields.push_back(field);
}

void RecordReader::read_tokens(const Json& record, Document& document) const {
  const auto has = [&](std::string_view path) { return find_path(record, path) != nullptr; };
  const bool text = looks_for_text_ && has(fields_.text);
  const bool pair = looks_for_pair_ && (has(fields_.context) || has(fields_.continuation));
  const bool ids = looks_for_ids_ && has("tokens");
  const bool id_pair = looks_for_ids_ && (has("context_tokens") || has("continuation_tokens"));
  const int forms = text + pair + ids + id_pair;
  if (forms == 0 && has("messages"))
    fail(ExitCode::input, "{}: has messages, but no chat template is applied here: give the text that it makes of them",
         kSubject);
  if (forms != 1) {
    std::vector<std::string> expected;
    if (looks_for_text_) expected.push_back(fields_.text);
    if (looks_for_pair_) expected.push_back(fields_.context + " + " + fields_.continuation);
    if (looks_for_ids_) expected.insert(expected.end(), {"tokens", "context_tokens + continuation_tokens"});
    fail(ExitCode::input, "{}: expected exactly one of {}, found {}", kSubject, fmt::join(expected, " | "),
         forms == 0 ? "none" : "several");
  }
  if (text) rules_.encode(string_at(record, fields_.text), document);
  if (pair) encode_pair(string_at(record, fields_.context), string_at(record, fields_.continuation), document);
  if (ids) append_ids(record, "tokens", document.tokens);
  if (id_pair) {
    append_ids(record, "context_tokens", document.tokens);
    document.context = std::ssize(document.tokens);
    append_ids(record, "continuation_tokens", document.tokens);
  }
  if (document.tokens.empty()) fail(ExitCode::input, "{}: empty: no tokens", kSubject);
}

void RecordReader::encode_pair(std::string context, std::string_view continuation, Document& document) const {
  const size_t context_bytes = without_trailing_space(context).size();
  const std::string both = context.append(continuation);
  if (both.empty()) fail(ExitCode::input, "{}: empty: no tokens", kSubject);
  const Framing& framing = rules_.framing;
  if (context_bytes == 0) {
    rules_.encode(both, document);
    document.empty_context = framing.of_text.before.empty() && framing.empty_context;
    document.context = document.empty_context ? 1 : 0;
    std::vector<int32_t>& tokens = document.tokens;
    if (document.empty_context && (tokens.empty() || tokens.front() != *framing.empty_context))
      tokens.insert(tokens.begin(), *framing.empty_context);
    return;
  }
  Document whole;
  rules_.encode(both, whole);
  rules_.encode(std::string_view(both).substr(0, context_bytes), document);
  document.spellings_left = whole.spellings_left;
  document.context = std::ssize(document.tokens);
  if (whole.tokens.size() > document.tokens.size())
    document.tokens.insert(document.tokens.end(), whole.tokens.begin() + *document.context, whole.tokens.end());
}

bool RecordReader::knows(std::string_view field) const {
  return std::ranges::any_of(
      known_, [&](const std::string& known) { return known == field || known.substr(0, known.find('.')) == field; });
}

}  // namespace switchyard
