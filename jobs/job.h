// A job is a name, a line of help, options and a function. Adding one is a file and a line in registry.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/pulse.h"
#include "comm/communicator.h"
#include "jobs/options/options.h"
#include "run/run_directory.h"

namespace switchyard {

struct JobEntry;

/// What main gives a job.
struct Runtime {
  Communicator& world;
  Pulse& pulse;                    ///< of this rank; `world` beats it
  std::span<const JobEntry> jobs;  ///< all that there are
};

enum class Ranks : uint8_t {
  one,     ///< refuses a world larger than 1
  any,     ///< refuses processes that a launcher started without an MPI of theirs: each would do the whole work
  doubted  ///< looks into what the launcher made of it, and so starts MPI only if the launcher speaks its language
};

/// A job's options as its command line will have them, and where it will start.
struct JobArguments {
  std::map<std::string, std::vector<std::string>> values;  ///< by option, those that were given
  std::filesystem::path directory;

  /// Empty: not given. Of a list the first.
  std::optional<std::string> value_of(const std::string& option) const;
  std::vector<std::string> values_of(const std::string& option) const;
  /// What an option names, wherever this process is.
  std::filesystem::path path_of(const std::string& option) const { return directory / value_of(option).value_or(""); }
};

/// What a job needs before it starts.
struct JobNeed {
  std::vector<std::filesystem::path> paths;  ///< that are looked at. Not yet there: nobody can look
  std::string key;                           ///< two needs of one key are the same
  std::function<void()> check;               ///< fails (usage, input) as the job would
};

/// What `submit` has to know of a job that works in a run directory (its option --run), where it can be resumed. What
/// is null needs no looking at.
struct BatchJob {
  std::string_view unit_folder;  ///< of its WorkUnits
  /// Fails (usage) as the job would. What other jobs may yet make need not be there.
  std::vector<JobNeed> (*needs)(const JobArguments&) = nullptr;
  /// Fails (usage) where it cannot be shared by so many ranks.
  void (*check_ranks)(const JobArguments&, int64_t ranks) = nullptr;
  /// Fails (mismatch) as the job would where the run belongs to other work, as far as one process can tell in moments.
  /// has_inputs: what it reads is there already.
  void (*check_run)(const RunDirectory&, const JobArguments&, bool has_inputs) = nullptr;
};

struct JobEntry {
  std::string_view name;
  std::string_view help;
  Ranks ranks;
  int (*run)(Runtime&, std::span<const std::string> args);
  void (*describe)(OptionSet&);     ///< its options, for the names that all jobs know
  const BatchJob* batch = nullptr;  ///< null: there is nothing to resume
};

/// The options of a job, for its entry. Names are all that is wanted there; the targets only have to outlive the call.
template <class Options>
void describe_options(OptionSet& set) {
  static Options options;
  options.describe(set);
}

/// Those of this program.
std::span<const JobEntry> jobs();

/// parse_options with the names of every job's options known.
bool parse_job_options(const Runtime& runtime, OptionSet& set, std::string_view job, std::span<const std::string> args);

int run_inspect(Runtime&, std::span<const std::string> args);
int run_import(Runtime&, std::span<const std::string> args);
int run_tokenize(Runtime&, std::span<const std::string> args);
int run_score(Runtime&, std::span<const std::string> args);
int run_train(Runtime&, std::span<const std::string> args);
int run_fisher(Runtime&, std::span<const std::string> args);
int run_delta(Runtime&, std::span<const std::string> args);
int run_sweep(Runtime&, std::span<const std::string> args);
int run_plan(Runtime&, std::span<const std::string> args);
int run_calibrate(Runtime&, std::span<const std::string> args);
int run_scale(Runtime&, std::span<const std::string> args);
int run_collect(Runtime&, std::span<const std::string> args);
int run_verify(Runtime&, std::span<const std::string> args);
int run_submit(Runtime&, std::span<const std::string> args);
int run_settle(Runtime&, std::span<const std::string> args);
int run_status(Runtime&, std::span<const std::string> args);
int run_doctor(Runtime&, std::span<const std::string> args);

}  // namespace switchyard
