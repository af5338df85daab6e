// What `switchyard delta` does, an action a file.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "jobs/delta/options.h"

namespace switchyard {

/// An action. operands: the words behind its name; poll: to be called now and then. Prints to the standard output.
using DeltaAction = void(const DeltaOptions& options, std::span<const std::string> operands,
                         const std::function<void()>& poll);

DeltaAction cut_delta, show_delta, apply_delta, revert_delta, diff_deltas;

}  // namespace switchyard
