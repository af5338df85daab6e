// Options of the jobs that read records: from scoring inputs, or from text.
#pragma once

#include <string>
#include <vector>

#include "jobs/options/text_options.h"

namespace switchyard {

struct InputOptions : TextOptions {
  std::string input_format;
  bool allow_other_tokenizer = false;
  std::vector<std::string> given_for_text;  ///< options of text that the user gave

  InputOptions() { max_tokens = 0; }
  /// The first two go into the group at hand. to_use: "score"
  void describe(OptionSet& o, std::string_view to_use);

  /// What a file's text is; empty: it is a scoring input. Fails (usage) on an --input-format that there is not.
  std::optional<Format> format_of_file(const std::string& path) const;
  /// With --max-tokens, where it was not given, what a model and its batches allow.
  ImportRules rules_for(int64_t max_positions, int64_t batch_tokens) const;
};

}  // namespace switchyard
