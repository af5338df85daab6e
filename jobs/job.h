// A job is a name, a line of help and a function. Adding one is a file and a line in registry.cc.
#pragma once

#include <cstdint>
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

enum class Ranks : uint8_t {
  one,     ///< refuses a world larger than 1
  any,     ///< refuses processes that a launcher started without an MPI of theirs: each would do the whole work
  doubted  ///< looks into what the launcher made of it, and so starts MPI only if the launcher speaks its language
};

struct JobEntry {
  std::string_view name;
  std::string_view help;
  Ranks ranks;
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
int run_submit(Runtime&, std::span<const std::string> args);
int run_settle(Runtime&, std::span<const std::string> args);
int run_status(Runtime&, std::span<const std::string> args);
int run_doctor(Runtime&, std::span<const std::string> args);

}  // namespace switchyard
