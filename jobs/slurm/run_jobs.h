// Which of Slurm's jobs a run has: those that were submitted for it, and those whose attempts it has seen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/slurm/slurm_client.h"
#include "run/run_directory.h"

namespace switchyard {

struct RunJobs {
  std::string id;                 ///< of the job that holds the run or will resume it, otherwise of the last at work
  std::optional<SlurmJob> slurm;  ///< that job; empty: Slurm does not know it (any more)
  std::vector<SlurmJob> others;   ///< that Slurm knows

  bool is_live() const { return slurm && !slurm->has_ended(); }
};

/// `state`: the run's, if it has one.
RunJobs find_run_jobs(const RunDirectory& run, const std::optional<RunState>& state);

/// One job, or one task of an array, by any of its ids. Empty when Slurm does not know it (any more).
std::optional<SlurmJob> find_job(const std::string& id);

/// Whether `attempt`, "17.1", is what the job is at now.
bool is_attempt_of(const std::string& attempt, const SlurmJob& job);

/// Why a job that has ended did so: "was cancelled before it began".
std::string why_ended(const SlurmJob& job);

/// Why a job that is not over was told to stop, as it can see itself: "preempted". Empty: that cannot be told.
std::string why_stopped(const SlurmJob& job);

}  // namespace switchyard
