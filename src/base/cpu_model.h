#pragma once

#include <string>

namespace switchyard {

/// "AMD EPYC 9B14"; "unknown" where Linux does not say.
std::string cpu_model();

}  // namespace switchyard
