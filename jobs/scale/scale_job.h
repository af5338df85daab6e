// Options of `switchyard scale`, beside those of the job that it measures.
#pragma once

#include <string>
#include <vector>

#include "jobs/options/option_groups.h"
#include "jobs/slurm/submit.h"

namespace switchyard {

struct ScaleOptions : RunOptions {
  std::string mode = "strong", nodes, ranks;
  bool local = false;
  std::vector<std::string> over;
  int64_t reps = 1;
  double max_node_hours = 0;
  SubmitOptions submit;  ///< of its jobs

  void describe(OptionSet& o);
};

}  // namespace switchyard
