// A training run as `submit` sees it.
#pragma once

#include "jobs/job.h"

namespace switchyard {

extern const BatchJob kTrainBatchJob;

}  // namespace switchyard
