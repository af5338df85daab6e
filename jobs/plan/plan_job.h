// Options of `switchyard plan`, beside those of the job that it is about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/options/options.h"

namespace switchyard {

struct PlanOptions {
  std::string profile, nodes = "1,2,4,8", routing, workload, deadline, csv, report;
  std::vector<std::string> over;
  int64_t tasks_per_node = 0;
  bool json = false;

  void describe(OptionSet& o);
};

/// What `plan JOB WORDS` prints. Empty: it is no job that can be planned.
std::string plan_of_job(Runtime& runtime, const std::string& job, std::span<const std::string> words);

}  // namespace switchyard
