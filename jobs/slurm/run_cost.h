// What a run has cost: the times of its attempts, added up.
#pragma once

#include <cstdint>
#include <optional>

#include "jobs/slurm/run_jobs.h"
#include "run/run_directory.h"

namespace switchyard {

struct RunCost {
  int64_t attempts = 0;
  int64_t elapsed = 0, waiting = 0;  ///< seconds from the first submission or attempt; of these in the queue
  std::optional<double> node_hours;  ///< empty: of some attempt it is not known how many nodes it had
};

/// What the run is doing now.
enum class RunPhase : uint8_t { at_work, waiting, over };

/// Of the attempts that began. One that was killed lasted as long as it wrote something.
RunCost cost_of(const RunDirectory& run, const RunJobs& jobs, RunPhase phase);

}  // namespace switchyard
