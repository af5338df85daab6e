// What the records of a run say of how it was made.
#pragma once

#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/memory.h"
#include "io/json.h"
#include "jobs/options/option_groups.h"

namespace switchyard {

/// The job, and the program that did it.
Json provenance(std::string_view job);
/// Likewise of a job that computes with a model: also which, with what deltas, and what on. model: the directory.
Json provenance(std::string_view job, const ModelOptions& options, const std::string& model, DType operand,
                Device device);

}  // namespace switchyard
