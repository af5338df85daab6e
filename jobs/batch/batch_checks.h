// What `submit` can tell of any job that computes with a model, for the jobs' own BatchJob.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "jobs/job.h"

namespace switchyard {

/// Tokens that submit reads at most: a login host's disk should not be busy for minutes.
inline constexpr int64_t kMostTokensRead = int64_t{1} << 29;

/// The job's own options. Fails (usage, environment) as the job would.
template <class Options>
Options options_of(const JobArguments& arguments, std::string_view job) {
  Options options;
  OptionSet set;
  options.describe(set);
  parse_option_values(set, job, arguments.values);
  options.resolve(set);
  return options;
}

/// Paths that a job has been given, as they hold here; what was not given stays so.
void settle(std::initializer_list<std::string*> paths, const std::filesystem::path& directory);
void settle(std::initializer_list<std::vector<std::string>*> paths, const std::filesystem::path& directory);

/// Fails (usage) unless all files of an option can be read again when the job starts again.
void require_read_again(const JobArguments& arguments, const std::string& option);

/// Fails (usage) where --ep does not divide the ranks.
void check_expert_ranks(const JobArguments& arguments, int64_t ranks);

/// Fails (mismatch) where the run's manifest has another fingerprint than these fields, or the run computes otherwise
/// than --dtype, --device and --cpu-isa say, or was begun by a program of other numerics.
void check_earlier_run(const RunDirectory& run, const Fingerprint& fields, const JobArguments& arguments);

void tell_if_complete(const RunDirectory& run);

/// Fails (mismatch) with both values.
[[noreturn]] void run_differs(const std::string& subject, const std::string& what, const std::string& there,
                              const std::string& here);

}  // namespace switchyard
