// A study's points as jobs, one at a time.
#pragma once

#include "jobs/scale/scale_study.h"
#include "jobs/slurm/submission.h"

namespace switchyard {

/// Queues a job for every point that is missing, one after the other by --dependency=singleton, and one behind them
/// that collects.
int submit_scale(const ScaleStudy& study, const Submission& request, double max_node_hours);

}  // namespace switchyard
