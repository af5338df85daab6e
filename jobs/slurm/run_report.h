// Where a run stands: the run directory's word joined with Slurm's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/slurm/run_cost.h"
#include "jobs/slurm/run_jobs.h"
#include "run/run_directory.h"

namespace switchyard {

/// The state of a directory of which nothing can be told.
inline constexpr const char* kUnreadable = "error";

/// A job that was submitted for the run and does not have it in its hands.
struct OtherJob {
  std::string id, state, why;
};

struct RunReport {
  std::string run;
  std::string state;  ///< of RunStatus, or: new, submitted, queued, starting, ending, requeued, cancelled, lost,
                      ///< error (it cannot be told: the message says why)
  RunState counts;    ///< whoever has done it; exit code, attempt and message are of the state that is shown
  double items_per_second = 0, seconds_left = -1;  ///< negative: not known
  std::string job;                                 ///< that has the run, or will; empty: none
  std::optional<SlurmJob> slurm;
  std::vector<OtherJob> others;
  std::string message;                 ///< why it stands so
  std::vector<std::string> log_lines;  ///< of a failed run's failing rank
  std::optional<RunCost> cost;         ///< of a run that some attempt began

  bool has_ended() const;  ///< nothing will change unless somebody does something
};

/// What to call a run's state, from its own word (none yet: empty) and its job's.
std::string joint_state(const std::optional<RunState>& state, bool submitted, const std::optional<SlurmJob>& job);

/// Whether the directory has anything of a run in it. Fails (input) if that cannot be told.
bool is_run_directory(const RunDirectory& run);

RunReport report_on(const RunDirectory& run);

}  // namespace switchyard
