// `switchyard status`: where runs stand, for people and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "jobs/options/options.h"
#include "jobs/slurm/run_report.h"

namespace switchyard {

/// A run directory stands for itself, any other folder for the runs in it. What is neither is a report as well.
std::vector<RunReport> report_on_all(const std::vector<std::string>& paths);

Json to_json(const RunReport& report);
std::vector<std::string> status_table(const std::vector<RunReport>& reports);

struct StatusOptions {
  std::vector<std::string> run;
  int64_t every = 5;
  bool watch = false, json = false, dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
