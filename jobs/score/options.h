#pragma once

#include <cstdint>
#include <string>

#include "jobs/option_groups.h"

namespace switchyard {

struct ScoreOptions : ModelOptions, LayoutOptions, BatchOptions, RunOptions {
  std::string input;
  bool allow_other_tokenizer = false;
  bool per_token = false, drop_shards = false;
  std::string embed = "none";
  int64_t max_rejects = 0, chunk_records = 0;

  void describe(OptionSet& o);
};

}  // namespace switchyard
