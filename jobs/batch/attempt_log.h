// What the attempts at a run have left to read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/run_directory.h"

namespace switchyard {

/// The attempt that began last; empty when there was none.
std::filesystem::path last_attempt(const RunDirectory& run);

/// The message of the last line that reports an error, without its time, rank and host; empty when there is none.
std::string last_error(const std::filesystem::path& attempt);

/// The last lines of the rank that failed; of all, when no rank reported an error.
std::vector<std::string> last_lines(const std::filesystem::path& attempt, size_t count);

}  // namespace switchyard
