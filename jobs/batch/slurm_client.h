// What Switchyard asks of Slurm, through its commands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/batch/slurm_environment.h"

namespace switchyard {

/// A job as `scontrol show job` knows it: until some minutes after its end.
struct SlurmJob {
  std::string id;      ///< "17", "17_3"
  std::string number;  ///< what the job itself has in SLURM_JOB_ID: an array's task one of its own
  std::string state;   ///< RUNNING, PENDING, COMPLETED, CANCELLED …
  std::string reason, nodes, time_limit, run_time, start_time;
  std::string end_time, preempt_time;  ///< "Unknown" or "None" while there is none
  std::string exit_code;               ///< of the script and the signal that ended it: "66:0"
  int restarts = 0;
  int64_t num_nodes = 0;

  bool is_pending() const { return state == "PENDING" || state == "REQUEUED" || state == "CONFIGURING"; }
  bool is_running() const { return state == "RUNNING" || state == "COMPLETING" || state == "SUSPENDED"; }
  bool has_ended() const { return !is_pending() && !is_running(); }
};

/// Submits a script; returns the job's id. Fails (environment) without sbatch, or with what sbatch said.
std::string sbatch(const std::vector<std::string>& arguments, const Environment& environment);

/// The job's id in what sbatch printed: in its last line, for sites print theirs before it. Fails (environment) if that
/// is none.
std::string parse_job_id(const std::string& output);

/// A job, or all tasks of an array. Empty when Slurm does not know it (any more) or there is no Slurm here.
std::vector<SlurmJob> find_jobs(const std::string& id);

/// Whether Slurm's controller answers: then a job that find_jobs() does not know has ended.
bool slurm_answers();

/// One more than the largest index of a job array; the largest that Slurm can have where none answers.
int64_t max_array_size();

/// The lines of `scontrol show job --oneliner`.
std::vector<SlurmJob> parse_jobs(const std::string& text);

}  // namespace switchyard
