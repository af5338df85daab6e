#include "jobs/options/text_options.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "jobs/options/limits.h"
#include "tokens/framing.h"

namespace switchyard {
namespace {

void check_range(std::string_view option, int64_t value, int64_t min, int64_t max) {
  if (value < min || value > max)
    fail(ExitCode::usage, "{} {}: expected an integer in {} … {}", option, value, min, max);
}

}  // namespace

void TextOptions::describe(OptionSet& o, std::string_view default_tokenizer, std::string_view default_length) {
  o.group("Text");
  o.add("tokenizer", &tokenizer, "TOKENIZER",
        fmt::format("bytes (a byte is its own token id), bins:COUNT:LOW:HIGH (numbers), or a tokenizer.json or the "
                    "directory that has it{}",
                    default_tokenizer));
  o.add("bos", &bos, "TOKEN",
        "around every text: auto (what the tokenizer puts there), config (what its tokenizer_config.json says of "
        "add_bos_token and add_eos_token), none, or an id (that token before every record, also those of ids)");
  o.add("special-tokens-in-text", &special_in_text, "",
        "what spells a special token in a text is that token; otherwise it is text");
  o.add("text-field", &fields.text, "NAME", "a record's text, called otherwise; a.b is a field b within a");
  o.add("context-field", &fields.context, "NAME", "a record's context, called otherwise");
  o.add("continuation-field", &fields.continuation, "NAME", "a record's continuation, called otherwise");
  o.add("id-field", &fields.id, "NAME", "a record's id, called otherwise");
  o.add("columns", &columns, "NAME ...",
        "of csv and tsv: rows are the steps of a series, one document, and these columns' numbers its tokens "
        "(--tokenizer bins:COUNT:LOW:HIGH)");
  o.add("max-tokens", within(&max_tokens, 0, INT32_MAX), "N",
        fmt::format("longer documents are split ({})", default_length));
  o.add("overlap", within(&overlap, 0, INT32_MAX), "N",
        "tokens of a piece that the next one repeats as context (at least 1 with --join)");
  o.add("join", &join, "",
        "pieces of a document are windows over it: each token is scored once, the last window reaches back, and "
        "results have one row for the document");
  o.add("max-line-bytes", within(&max_line_bytes, 1, kMaxLineBytes), "N", "longer lines or rows are rejects");
  o.add("max-document-bytes", within(&max_document_bytes, 1, INT64_MAX), "N",
        "longer text files are rejects, unless the tokenizer takes them piece by piece (bytes does)");
}

std::vector<std::string> TextOptions::given(const OptionSet& o) {
  OptionSet own;
  TextOptions().describe(own, "", "");
  std::vector<std::string> names;
  for (const auto& option : own.options())
    if (o.is_given(option.name)) names.push_back("--" + option.name);
  return names;
}

ImportRules TextOptions::resolved(int64_t default_max_tokens) const {
  ImportRules rules = *this;
  if (rules.max_tokens == 0) rules.max_tokens = default_max_tokens;
  if (rules.join) rules.overlap = std::max<int64_t>(1, rules.overlap);
  if (!is_bos_choice(bos)) fail(ExitCode::usage, "--bos {}: expected auto, config, none or a token's id", bos);
  check_range("--max-tokens", rules.max_tokens, 2, INT32_MAX);
  check_range("--overlap", rules.overlap, 0, rules.max_tokens - 1);
  check_range("--max-line-bytes", rules.max_line_bytes, 1, INT64_MAX);
  check_range("--max-document-bytes", rules.max_document_bytes, 1, INT64_MAX);
  return rules;
}

std::optional<Format> format_by_name(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).filename();
  if (name.extension() == ".gz") name = name.stem();
  const std::string extension = name.extension().native();
  if (extension == ".jsonl" || extension == ".ndjson") return Format::jsonl;
  if (extension == ".txt") return Format::text;
  if (extension == ".csv") return Format::csv;
  if (extension == ".tsv") return Format::tsv;
  return std::nullopt;
}

Format format_of(std::string_view name) {
  for (const Format format : {Format::jsonl, Format::text, Format::csv, Format::tsv})
    if (name == name_of(format)) return format;
  fail(ExitCode::usage, "{}: expected jsonl, text, csv or tsv", name);
}

}  // namespace switchyard
