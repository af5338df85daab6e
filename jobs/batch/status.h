// Where runs stand: the run directory's word joined with Slurm's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/run_directory.h"
#include "jobs/batch/slurm_client.h"
#include "jobs/options.h"

namespace switchyard {

struct RunReport {
  std::string run;
  std::string state;  ///< of RunStatus, or: submitted, queued, starting, requeued, lost,
                      ///< error (it cannot be told: the message says why)
  RunState counts;
  double records_per_second = 0, seconds_left = -1;  ///< negative: not known
  std::string job;                                   ///< the last submitted; empty: none
  std::optional<SlurmJob> slurm;
  std::string message;                 ///< why it stands so
  std::vector<std::string> log_lines;  ///< of a failed run's failing rank
};

/// What to call a run's state, from its own word (none yet: empty) and its job's.
std::string joint_state(const std::optional<RunState>& state, bool submitted, const std::optional<SlurmJob>& job);

RunReport report_on(const RunDirectory& run);
Json to_json(const RunReport& report);
std::vector<std::string> status_table(const std::vector<RunReport>& reports);

struct StatusOptions {
  std::vector<std::string> run;
  bool json = false, dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
