// What the run directories of a submission hold already: another run, or another job.
#pragma once

#include <string>
#include <vector>

#include "jobs/slurm/submission.h"

namespace switchyard {

/// Fails (mismatch) as the job would if a run belongs to other work, as far as one process can tell without the model's
/// tensors.
void check_earlier_runs(const Submission& s);

/// Jobs that may still write in one of the runs, as --dependency takes them. A process of this host without a job
/// cannot be waited for: fails (mismatch).
std::vector<std::string> jobs_at_work(const Submission& s);

}  // namespace switchyard
