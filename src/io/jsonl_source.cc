#include "io/jsonl_source.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "io/json.h"
#include "io/text_source.h"

namespace switchyard {
namespace {

constexpr std::string_view kSubject = "record";
constexpr std::string_view kForms = "text | context + continuation | tokens | context_tokens + continuation_tokens";
constexpr std::string_view kFields[] = {
    "text", "context", "continuation", "tokens", "context_tokens", "continuation_tokens", "id", "label"};
constexpr size_t kMaxNamedFields = 32;

void append_text(const Json& record, std::string_view field, const Tokenizer& tokenizer, std::vector<int32_t>& tokens) {
  tokenizer.encode(require_string(record, field, kSubject), tokens);
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

void read_tokens(const Json& json, const Tokenizer& tokenizer, JsonlRecord& record) {
  const auto has = [&](std::string_view field) { return find_field(json, field) != nullptr; };
  const bool text = has("text"), ids = has("tokens"), text_pair = has("context") || has("continuation"),
             id_pair = has("context_tokens") || has("continuation_tokens");
  if (text + ids + text_pair + id_pair != 1)
    fail(ExitCode::input, "{}: expected exactly one of {}, found {}", kSubject, kForms,
         text + ids + text_pair + id_pair == 0 ? "none" : "several");
  if (text) append_text(json, "text", tokenizer, record.tokens);
  if (ids) append_ids(json, "tokens", record.tokens);
  if (text_pair) append_text(json, "context", tokenizer, record.tokens);
  if (id_pair) append_ids(json, "context_tokens", record.tokens);
  if (text_pair || id_pair) record.context = static_cast<int64_t>(record.tokens.size());
  if (text_pair) append_text(json, "continuation", tokenizer, record.tokens);
  if (id_pair) append_ids(json, "continuation_tokens", record.tokens);
  record.is_text = text || text_pair;
  if (record.tokens.empty()) fail(ExitCode::input, "{}: empty: no tokens", kSubject);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == line.npos;
}

}  // namespace

JsonlRecord parse_jsonl_record(std::string_view line, const Tokenizer& tokenizer) {
  const Json json = parse_json(line, kSubject);
  if (!json.is_object()) fail(ExitCode::input, "{}: expected an object, found {}", kSubject, brief(json));
  JsonlRecord record;
  read_tokens(json, tokenizer, record);
  if (const Json* id = find_field(json, "id")) record.id = text_of(*id, "id", false);
  if (const Json* label = find_field(json, "label")) record.label = text_of(*label, "label", true);
  for (const auto& [field, value] : json.items())
    if (std::find(std::begin(kFields), std::end(kFields), field) == std::end(kFields))
      record.other_fields.push_back(field);
  return record;
}

JsonlSource::JsonlSource(std::vector<std::string> paths, const Tokenizer& tokenizer, uint64_t max_line_bytes)
    : paths_(std::move(paths)),
      names_(document_names(paths_)),
      tokenizer_(tokenizer),
      max_line_bytes_(max_line_bytes) {}

/// The next line that is not blank, in this file or those after it.
bool JsonlSource::next_line() {
  while (true) {
    while (lines_ && lines_->next())
      if (lines_->too_long() || !is_blank(lines_->line())) return true;
    lines_.reset();
    if (next_path_ == paths_.size()) return false;
    lines_.emplace(paths_[next_path_++], max_line_bytes_);
  }
}

bool JsonlSource::next(Document& document) {
  tokens_.clear();
  used_ = 0;
  if (!next_line()) return false;
  document = {};
  document.source = paths_[next_path_ - 1];
  document.line = lines_->number();
  if (lines_->too_long()) {
    document.reject = fmt::format("line of {} bytes: expected at most {}", lines_->line_bytes(), max_line_bytes_);
    return true;
  }
  try {
    JsonlRecord record = parse_jsonl_record(lines_->line(), tokenizer_);
    tokens_ = std::move(record.tokens);
    encoded_text_ = encoded_text_ || record.is_text;
    document.id = record.id.value_or(fmt::format("{}:{}", names_[next_path_ - 1], lines_->number()));
    document.label = std::move(record.label);
    if (record.context) document.fixed = {*record.context, static_cast<int64_t>(tokens_.size())};
    name_other_fields(record.other_fields);
  } catch (const Error& error) {
    if (error.code() != ExitCode::input) throw;
    document.reject = error.what();
  }
  return true;
}

size_t JsonlSource::read(std::span<int32_t> out) {
  const size_t count = std::min(out.size(), tokens_.size() - used_);
  std::copy_n(tokens_.begin() + static_cast<ptrdiff_t>(used_), count, out.begin());
  used_ += count;
  return count;
}

void JsonlSource::name_other_fields(const std::vector<std::string>& fields) {
  for (const std::string& field : fields) {
    if (named_fields_.size() > kMaxNamedFields || !named_fields_.insert(field).second) continue;
    if (named_fields_.size() > kMaxNamedFields)
      log::info("{}: more than {} other fields, ignored: not named any more", lines_->path().string(), kMaxNamedFields);
    else
      log::info("{}:{}: field {} has no meaning here and is ignored", lines_->path().string(), lines_->number(),
                brief(field));
  }
}

}  // namespace switchyard
