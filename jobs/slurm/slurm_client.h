// What Switchyard asks of Slurm, through its commands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "jobs/slurm/slurm_environment.h"

namespace switchyard {

/// A job as `scontrol show job` knows it: until some minutes after its end.
struct SlurmJob {
  std::string id;      ///< "17", "17_3"
  std::string number;  ///< what the job itself has in SLURM_JOB_ID: an array's task one of its own
  std::string state;   ///< RUNNING, PENDING, COMPLETED, CANCELLED …; of rarer names the common one that it amounts to
  std::string reason, nodes, time_limit, run_time, start_time;
  std::string end_time, preempt_time;  ///< "Unknown" or "None" while there is none
  int restarts = 0;
  int exit_code = 0, signal = 0;  ///< of the batch script, once it has ended
  std::string comment;            ///< what the script could tell nowhere else
  int64_t num_nodes = 0;

  bool is_pending() const { return state == "PENDING" || state == "REQUEUED" || state == "CONFIGURING"; }
  bool is_running() const { return state == "RUNNING" || state == "COMPLETING" || state == "SUSPENDED"; }
  bool has_ended() const { return !is_pending() && !is_running(); }
};

/// SlurmJob::signal of a job that could not write its log: what Slurm makes of its ESLURMD_IO_ERROR.
inline constexpr int kNoOutput = 53;

/// A node as one partition has it.
struct PartitionNode {
  std::string partition;
  bool is_default = false;  ///< the partition of jobs that name none
  int64_t cores = 0, gpus = 0;
  std::string time_limit;  ///< of a job; "infinite"
  std::string state;       ///< "idle", "mixed", "down*" …
};

/// sbatch took no job: nothing is queued.
class SbatchRefusal : public Error {
 public:
  explicit SbatchRefusal(const std::string& message) : Error(ExitCode::environment, message) {}
};

/// Submits a script; returns the job's id. Throws SbatchRefusal without sbatch, or with what sbatch said; fails
/// (environment) where a job may be queued all the same.
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

/// Of all partitions, hidden ones too. Empty where there is no Slurm; also, with a warning, where it does not answer.
std::vector<PartitionNode> partition_nodes();

/// GPUs in what sinfo calls generic resources: "gpu:4", "gpu:a100:4(S:0-1),gpu:h100:2,shard:8", "(null)".
int64_t count_gpus(const std::string& generic_resources);

/// A number of `scontrol show config`. Empty where nobody answers.
std::optional<int64_t> slurm_setting(const std::string& name);

/// The lines of sinfo as partition_nodes() asks for them.
std::vector<PartitionNode> parse_nodes(const std::string& text);

/// The lines of `scontrol show job --oneliner`.
std::vector<SlurmJob> parse_jobs(const std::string& text);

}  // namespace switchyard
