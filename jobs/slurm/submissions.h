// RUN/jobs.jsonl: the jobs that were submitted for a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "run/run_directory.h"

namespace switchyard {

struct RecordedSubmission {
  int64_t time = 0;               ///< seconds since 1970; 0: not known
  std::vector<std::string> jobs;  ///< a job and its successors
};

void record_submission(const RunDirectory& run, const std::vector<std::string>& job_ids);
std::vector<RecordedSubmission> all_submissions(const RunDirectory& run);  ///< in order
std::vector<std::string> last_submission(const RunDirectory& run);         ///< empty: none

}  // namespace switchyard
