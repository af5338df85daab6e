// Options of the jobs that read text: how documents become records.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/importer.h"
#include "jobs/options/options.h"

namespace switchyard {

struct TextOptions : ImportRules {
  std::string tokenizer;  ///< open_tokenizer()

  void describe(OptionSet& o, std::string_view default_tokenizer, std::string_view default_length);
  /// Of these options those that the user gave.
  static std::vector<std::string> given(const OptionSet& o);
  /// With what was left open. Fails (usage) on values and combinations without a meaning.
  ImportRules resolved(int64_t default_max_tokens) const;
};

/// By the file's name, also of a compressed one; empty: it does not say.
std::optional<Format> format_by_name(const std::string& path);
/// "jsonl", "text", "csv", "tsv". Fails (usage).
Format format_of(std::string_view name);

}  // namespace switchyard
