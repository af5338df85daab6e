#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/input/input_options.h"
#include "jobs/options/option_groups.h"

namespace switchyard {

struct ScoreOptions : ModelOptions, InputOptions, LayoutOptions, BatchOptions, RunOptions {
  std::vector<std::string> input;
  bool per_token = false, with_text = false, drop_shards = false;
  std::string embed = "none", quantiles, profile;
  int64_t max_rejects = 0, chunk_records = 0, sample_tokens = 0;

  void describe(OptionSet& o);
  void resolve(const OptionSet& set) { given_for_text = TextOptions::given(set); }

  /// What --input names, where it is text; empty: it names a scoring input. Fails (usage).
  std::vector<SourceFile> text_sources() const;
};

}  // namespace switchyard
