#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/options/options.h"

namespace switchyard {

struct SubmitOptions {
  std::string name, partition, account, qos, time, memory, array, site;
  std::string mpi = "pmix", srun_flags;
  std::vector<std::string> module, setup;
  int64_t nodes = 0, tasks_per_node = 0, cpus_per_task = 0, gpus_per_node = 0, signal_seconds = 180, chain = 0;
  bool no_dependency = false, wait = false, dry_run = false;

  void describe(OptionSet& o);
  /// Of those what a job is to Slurm, and the site's.
  void describe_job(OptionSet& o);
};

}  // namespace switchyard
