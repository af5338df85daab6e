#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "jobs/options/options.h"

namespace switchyard {

/// Who stopped this job's attempt, as far as Slurm tells: "preempted", "00:40 before the end of its time limit
/// 01:00:00". See StopCause.
std::string slurm_stop_cause(const std::filesystem::path& attempt, bool was_told);

struct SettleOptions {
  std::string run;
  int64_t rc = -1;
  bool dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
