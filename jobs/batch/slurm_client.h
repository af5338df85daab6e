// What Switchyard asks of Slurm, through its commands.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace switchyard {

/// A job as `scontrol show job` knows it: until some minutes after its end.
struct SlurmJob {
  std::string id;     ///< "17", "17_3"
  std::string state;  ///< RUNNING, PENDING, COMPLETED, CANCELLED …
  std::string reason, nodes, time_limit, run_time, start_time;
  int restarts = 0;

  bool is_pending() const { return state == "PENDING" || state == "REQUEUED" || state == "CONFIGURING"; }
  bool is_running() const { return state == "RUNNING" || state == "COMPLETING" || state == "SUSPENDED"; }
  bool has_ended() const { return !is_pending() && !is_running(); }
};

/// Submits a script; returns the job's id. Fails (environment) without sbatch, or with what sbatch said. The
/// environment is scrubbed of what a surrounding job left there.
std::string sbatch(const std::vector<std::string>& arguments);

/// A job, or all tasks of an array. Empty when Slurm does not know it (any more) or there is no Slurm here.
std::vector<SlurmJob> find_jobs(const std::string& id);

/// Whether Slurm's controller answers: then a job that find_jobs() does not know has ended.
bool slurm_answers();

/// The lines of `scontrol show job --oneliner`.
std::vector<SlurmJob> parse_jobs(const std::string& text);

}  // namespace switchyard
