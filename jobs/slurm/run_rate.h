#pragma once

#include "run/run_directory.h"

namespace switchyard {

/// Records per second of all groups, by the last lines of metrics.jsonl that were written at `since` (seconds since
/// 1970) or later; 0 when there are none.
double records_per_second(const RunDirectory& run, double since = 0);

}  // namespace switchyard
