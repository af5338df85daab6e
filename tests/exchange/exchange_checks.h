// Checks of the exchanges that hold on any communicator (tests/comm/checks.h).
#pragma once

#include <vector>

#include "tests/comm/checks.h"

namespace switchyard::test {

/// Each for several placements of the experts.
std::vector<Check> exchange_checks();
std::vector<Check> gradient_exchange_checks();

}  // namespace switchyard::test
