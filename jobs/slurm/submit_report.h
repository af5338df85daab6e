// What `switchyard submit` tells a person, on stderr: stdout has the jobs' ids alone.
#pragma once

#include <string>
#include <vector>

#include "jobs/slurm/submission.h"

namespace switchyard {

/// Before queueing: what is asked for, and what is known of the time it takes and of the disk. is_first: nobody else is
/// going to work on the run before.
void report_request(const Submission& s, bool is_first);
/// After it: where the logs go, and how to watch and cancel. `ids`: of a chain, or one.
void report_jobs(const Submission& s, const std::vector<std::string>& ids);

/// Seconds that the rest of a run takes at the rate of its last chunks (metrics.jsonl); 0: unknown.
double seconds_left(const RunDirectory& run);

}  // namespace switchyard
