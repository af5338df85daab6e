// After an attempt has ended, however it did: the state as it should be, and whether the run goes on.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "run/run_directory.h"

namespace switchyard {

struct Settlement {
  bool requeue = false;
  std::string why;  ///< for a person
};

/// Three attempts in a row that finish no unit are the last.
inline constexpr int64_t kMaxFruitlessAttempts = 3;

/// Who or what stopped an attempt that was interrupted: "preempted"; empty: that cannot be told. was_told: the attempt
/// could still say that it was stopped.
using StopCause = std::function<std::string(const std::filesystem::path& attempt, bool was_told)>;

/// Mends state.json, which a killed attempt leaves at "running", and decides. `rc`: what srun returned; where the run
/// directory knows better, it counts for nothing. Without it nothing is changed: what a next attempt would find. A run
/// directory in another job's hands is left alone.
Settlement settle(const RunDirectory& run, std::optional<int> rc, const StopCause& who_stopped = {});

}  // namespace switchyard
