// How a run begins whose data may be text.
#pragma once

#include <functional>

#include "jobs/input/data_files.h"
#include "run/attempt.h"

namespace switchyard {

/// Enters a run of steps, makes of text what is to be read, and calls `take`, which reads it, decides what is to be
/// done and takes the run. What was made for a run of other data (mismatch) is gone again. Collective.
void enter_with_data(Attempt& attempt, DataFiles& files, const std::function<void()>& take);

}  // namespace switchyard
