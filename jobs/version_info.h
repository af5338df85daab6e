#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

/// Name and value of everything that results and speed may depend on; libraries as they were found at run time.
std::vector<std::pair<std::string, std::string>> version_facts();

/// `switchyard --version [--json]`.
int print_version(std::span<const std::string> args);

}  // namespace switchyard
