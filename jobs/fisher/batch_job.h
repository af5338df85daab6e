// A Fisher run as `submit` sees it.
#pragma once

#include "jobs/job.h"

namespace switchyard {

extern const BatchJob kFisherBatchJob;

}  // namespace switchyard
