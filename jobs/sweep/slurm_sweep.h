// A sweep through Slurm: its points are tasks of job arrays.
#pragma once

#include "jobs/slurm/submission.h"
#include "jobs/sweep/sweep.h"

namespace switchyard {

/// Points that one array takes: their numbers less the first are below Slurm's MaxArraySize.
struct ArrayPart {
  std::vector<int64_t> points;  ///< ascending
  int64_t first_index() const { return points.front(); }
  std::string indices() const;  ///< as --array takes them, from 0: "0-3,7"
};

/// As few parts as do. Fails (usage) where Slurm takes no arrays: max_array_size below 2.
std::vector<ArrayPart> array_parts(const std::vector<int64_t>& points, int64_t max_array_size);

/// Submits what is missing: points that are not complete and that no job has in hand. With dry_run prints the scripts.
/// `request`: options of submit and sbatch alone.
int submit_sweep(const Sweep& sweep, const Submission& request);

}  // namespace switchyard
