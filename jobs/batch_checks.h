// What `submit` can tell of any job that computes with a model, for the jobs' own BatchJob.
#pragma once

#include <cstdint>
#include <string>

#include "io/json.h"
#include "jobs/job.h"

namespace switchyard {

/// Tokens that submit reads at most: a login host's disk should not be busy for minutes.
inline constexpr int64_t kMostTokensRead = int64_t{1} << 29;

/// Fails (usage) unless all files of an option can be read again when the job starts again.
void require_read_again(const JobArguments& arguments, const std::string& option);

/// Fails (usage) where --ep does not divide the ranks.
void check_expert_ranks(const JobArguments& arguments, int64_t ranks);

/// Fails (mismatch) where the run computes otherwise than --dtype, --device and --cpu-isa say, or was begun by a
/// program of other numerics. `subject`: the manifest's path.
void check_numerics(const Json& manifest, const std::string& subject, const JobArguments& arguments);

/// Fails (mismatch) with both values.
[[noreturn]] void run_differs(const std::string& subject, const std::string& what, const std::string& there,
                              const std::string& here);

}  // namespace switchyard
