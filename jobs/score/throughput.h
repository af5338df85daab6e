// How fast a run went, attempt by attempt, by what it noted.
#pragma once

#include <vector>

#include "report/time_series.h"
#include "run/run_directory.h"

namespace switchyard {

/// Tokens per second of all groups over the time since the first attempt began, from metrics.jsonl. Empty where there
/// is nothing to tell.
std::vector<report::TimeSeries::Attempt> throughput(const RunDirectory& run);

}  // namespace switchyard
