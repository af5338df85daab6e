#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/options.h"

namespace switchyard {

struct ScoreOptions {
  std::string model, input, run;
  std::vector<std::string> allow_config_field;
  bool per_token = false;
  std::string embed = "none";
  int64_t max_rejects = 0;
  std::string dtype = "auto", cpu_isa = "auto", device = "auto";
  bool share_gpu = false;
  int64_t threads = 0, ep = 0, micro_batches = 0, batch_tokens = 8192, chunk_records = 0;
  int64_t exchange_bytes = int64_t{256} << 20;
  double memory_gib = 0;
  int64_t lease_timeout = 60, comm_timeout = 300, term_grace = 20, limit_grace = 120;
  bool allow_other_tokenizer = false, drop_shards = false, dry_run = false, quiet = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
