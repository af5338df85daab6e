// What the attempts at a run have left to read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run/attempts.h"
#include "run/run_directory.h"

namespace switchyard {

/// Those that began, for whoever can do without: none, and a warning, if they cannot be listed.
std::vector<AttemptRecord> readable_attempts(const RunDirectory& run);

/// The attempt that began last; empty when there was none.
std::filesystem::path last_attempt(const RunDirectory& run);

/// A job's attempt by its folder's name: of "17.1", and of "17.1.2", job 17 after one restart. Empty for "local.1".
struct SlurmAttempt {
  std::string job;
  int restart = 0;
};
std::optional<SlurmAttempt> slurm_attempt(std::string_view name);

/// What Slurm says in the log that it ended the attempt for: "preempted". Empty where it says nothing.
std::string slurm_notice(const std::filesystem::path& attempt);

/// The message of the last line that reports an error, without its time, rank and host; empty when there is none.
std::string last_error(const std::filesystem::path& attempt);

/// What srun said last of why it ended, in the log of the batch script that started the attempt: "n1: task 0: Killed";
/// empty where that is not in its usual place, or has nothing of it.
std::string srun_error(const std::filesystem::path& attempt);

/// The last lines of the rank that failed; of all, when no rank reported an error.
std::vector<std::string> last_lines(const std::filesystem::path& attempt, size_t count);

}  // namespace switchyard
