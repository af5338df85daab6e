#pragma once

#include <span>
#include <string>

namespace switchyard {

/// `switchyard --version [--json]`: the program and everything its results and its speed may depend on.
int print_version(std::span<const std::string> args);

}  // namespace switchyard
