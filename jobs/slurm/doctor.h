// What is wrong with a cluster, a launcher or a run directory, found before a job does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/json.h"
#include "jobs/options/options.h"
#include "jobs/slurm/slurm_site.h"

namespace switchyard {

struct Finding {
  enum Level : uint8_t { ok, unknown, warning, fault };
  Level level = ok;
  std::string subject, text;
  std::string advice;  ///< what to do about it; empty when all is well
};

struct DoctorOptions {
  std::string run, write_site;
  int64_t threads = 0;
  bool json = false, dry_run = false;

  void describe(OptionSet& o);
};

/// What one rank knows of itself and its surroundings.
Json examine_rank(Communicator& world, const DoctorOptions& options);

/// Every rank's facts, in rank order, to findings.
std::vector<Finding> diagnose(const std::vector<Json>& ranks);

/// What a job would meet here; `site` is empty where there is no Slurm.
std::vector<Finding> describe_site(const std::optional<SlurmSite>& site);

}  // namespace switchyard
