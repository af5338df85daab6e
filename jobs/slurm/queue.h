#pragma once

#include <string>
#include <vector>

#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/slurm_environment.h"
#include "jobs/slurm/submission.h"

namespace switchyard {

/// mark: see BatchScript; empty: a script that is only shown.
BatchScript make_script(const Submission& s, const std::string& mark);

/// Makes the run directories and queues their jobs, behind the holders, or nothing. The jobs' ids, of a chain or one;
/// each is printed as it comes.
std::vector<std::string> queue_jobs(const Submission& s, const Environment& environment,
                                    const std::vector<std::string>& holders);

}  // namespace switchyard
