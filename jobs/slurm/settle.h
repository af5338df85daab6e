// After an attempt has ended, however it did: the state as it should be, and whether the job goes on.
#pragma once

#include <optional>
#include <string>

#include "jobs/options.h"
#include "run/run_directory.h"

namespace switchyard {

struct Settlement {
  bool requeue = false;
  std::string why;  ///< for a person
};

/// Three attempts in a row without a committed chunk are the last.
inline constexpr int64_t kMaxFruitlessAttempts = 3;

/// Mends state.json, which a killed attempt leaves at "running", and decides. `rc`: what srun returned; where the run
/// directory knows better, it counts for nothing. Without it nothing is changed: what a next attempt would find. A run
/// directory in another job's hands is left alone.
Settlement settle(const RunDirectory& run, std::optional<int> rc);

struct SettleOptions {
  std::string run;
  int64_t rc = -1;
  bool dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
