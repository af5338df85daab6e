#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/option_groups.h"
#include "jobs/text_options.h"

namespace switchyard {

struct ScoreOptions : ModelOptions, TextOptions, LayoutOptions, BatchOptions, RunOptions {
  std::vector<std::string> input;
  std::string input_format;
  std::vector<std::string> given_for_text;  ///< options of text that the user gave
  bool allow_other_tokenizer = false;
  bool per_token = false, with_text = false, drop_shards = false;
  std::string embed = "none";
  int64_t max_rejects = 0, chunk_records = 0;

  ScoreOptions() { max_tokens = 0; }
  void describe(OptionSet& o);
};

}  // namespace switchyard
