// A job is a name, a line of help and a function. Adding one is a file and a line in registry.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/pulse.h"
#include "comm/communicator.h"
#include "jobs/options.h"

namespace switchyard {

/// What main gives a job.
struct Runtime {
  Communicator& world;
  Pulse& pulse;  ///< of this rank; `world` beats it
};

struct JobEntry {
  std::string_view name;
  std::string_view help;
  bool parallel;  ///< runs on many ranks; the others refuse a world larger than 1
  int (*run)(Runtime&, std::span<const std::string> args);
  void (*describe)(OptionSet&);  ///< its options, for the names that all jobs know
};

std::span<const JobEntry> jobs();

/// parse_options with the names of every job's options known.
bool parse_job_options(OptionSet& set, std::string_view job, std::span<const std::string> args);

int run_inspect(Runtime&, std::span<const std::string> args);
int run_import(Runtime&, std::span<const std::string> args);
int run_score(Runtime&, std::span<const std::string> args);
int run_verify(Runtime&, std::span<const std::string> args);

}  // namespace switchyard
