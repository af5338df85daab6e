// RUN/jobs.jsonl: the jobs that were submitted for a run.
#pragma once

#include <string>
#include <vector>

#include "io/run_directory.h"

namespace switchyard {

void record_submission(const RunDirectory& run, const std::vector<std::string>& job_ids);
std::vector<std::string> last_submission(const RunDirectory& run);  ///< a job and its successors; empty: none

}  // namespace switchyard
