// What is wrong with a submission, found before anything is made or queued.
#pragma once

#include "jobs/slurm/submission.h"

namespace switchyard {

/// Fails (usage, input) on what cannot work, with a line for what may not. Also finds out which points an array has.
void check(Submission& s);

}  // namespace switchyard
