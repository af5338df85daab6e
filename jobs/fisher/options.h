#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/input/data_files.h"
#include "jobs/options/option_groups.h"
#include "run/run_directory.h"

namespace switchyard {

struct FisherOptions : ModelOptions, InputOptions, MachineOptions, BatchOptions, RunOptions {
  std::vector<std::string> data;
  std::string labels = "sampled";
  int64_t draws = 1, max_records = 0, seed = 0, exact_limit = 100'000'000;
  int64_t step_records = 16, save_steps = 500, max_rejects = 0;

  void describe(OptionSet& o);
  /// Decides what was left open, by what `set` was given. Fails (usage, environment) on combinations without a meaning.
  void resolve(const OptionSet& set);

  bool is_exact() const { return labels == "exact"; }
  DataSources sources() const { return {*this, data, {}, model, batch_tokens, threads}; }
  /// Of what the result depends on, all that the options alone decide.
  Fingerprint fingerprint() const;
};

}  // namespace switchyard
