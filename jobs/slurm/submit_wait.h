// How a submitted job ended.
#pragma once

#include <string>
#include <vector>

#include "jobs/slurm/submission.h"

namespace switchyard {

/// Waits until Slurm is done with the last of these jobs (a chain's, or one), says how each run ended, and returns the
/// exit code of the first run that is not complete: of these jobs, not of others that wrote in its directory.
int wait_for(const std::vector<std::string>& ids, const Submission& s);

}  // namespace switchyard
