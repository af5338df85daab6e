// What `submit` can tell of any job that computes with a model, for the jobs' own BatchJob.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "jobs/input/input_options.h"
#include "jobs/job.h"

namespace switchyard {

/// Tokens that submit reads at most: a login host's disk should not be busy for minutes.
inline constexpr int64_t kMostTokensRead = int64_t{1} << 29;

JobNeed need_of_file(const std::filesystem::path& file);
/// config.json, and what the headers of the model's files and of its deltas tell.
JobNeed need_of_model(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas,
                      const std::set<std::string>& allowed_fields);
/// Of the files of an option, which read inputs or text for a model: each, and what encodes the text among them.
void add_needs_of_data(const InputOptions& options, const std::string& option, const std::vector<std::string>& files,
                       const std::filesystem::path& model, const JobArguments& arguments, std::vector<JobNeed>& needs);

/// Looks at those that are not among the seen, which they are then.
void check_needs(std::span<const JobNeed> needs, std::set<std::string>& seen);

/// The job's own options. Fails (usage, environment) as the job would.
template <class Options>
Options options_of(const JobArguments& arguments, std::string_view job) {
  std::vector<std::string> words;
  for (const auto& [option, values] : arguments.values)
    for (const std::string& value : values) words.push_back("--" + option + "=" + value);
  Options options;
  OptionSet set;
  options.describe(set);
  parse_options(set, job, words, {});
  options.resolve(set);
  return options;
}

/// Fails (usage) unless all files of an option can be read again when the job starts again.
void require_read_again(const JobArguments& arguments, const std::string& option);

/// Fails (usage) where --ep does not divide the ranks.
void check_expert_ranks(const JobArguments& arguments, int64_t ranks);

/// Fails (mismatch) where the run's manifest has another fingerprint than these fields, or the run computes otherwise
/// than
/// --dtype, --device and --cpu-isa say, or was begun by a program of other numerics.
void check_earlier_run(const RunDirectory& run, const Fingerprint& fields, const JobArguments& arguments);

void tell_if_complete(const RunDirectory& run);

/// Fails (mismatch) with both values.
[[noreturn]] void run_differs(const std::string& subject, const std::string& what, const std::string& there,
                              const std::string& here);

}  // namespace switchyard
