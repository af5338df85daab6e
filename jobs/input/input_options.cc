#include "jobs/input/input_options.h"

#include <algorithm>

#include "base/error.h"
#include "io/byte_stream.h"

namespace switchyard {

void InputOptions::describe(OptionSet& o, std::string_view to_use) {
  o.add("input-format", &input_format, "jsonl|text|csv|tsv", "of files whose names do not say it");
  o.add("allow-other-tokenizer", &allow_other_tokenizer, "",
        fmt::format("{} tokens that another tokenizer than the model's made", to_use));
  TextOptions::describe(o, " (default: the model's)", "0: what the model and --batch-tokens allow");
}

std::optional<Format> InputOptions::format_of_file(const std::string& path) const {
  if (!input_format.empty()) return format_of(input_format);
  if (const std::optional<Format> format = format_by_name(path)) return format;
  if (is_read_once(path)) return Format::jsonl;
  return std::nullopt;
}

ImportRules InputOptions::rules_for(int64_t max_positions, int64_t batch_tokens) const {
  ImportRules rules = resolved(std::max<int64_t>(2, std::min(max_positions, batch_tokens)));
  if (max_positions < 2)
    fail(ExitCode::input, "the model has {} position: expected at least 2, or no text fits", max_positions);
  if (rules.max_tokens > max_positions)
    fail(ExitCode::usage, "--max-tokens {}: expected at most the model's {} positions", rules.max_tokens,
         max_positions);
  return rules;
}

}  // namespace switchyard
