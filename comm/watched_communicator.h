// A communicator that tells a Pulse when its rank comes to an operation, waits in it and leaves it.
#pragma once

#include <memory>

#include "base/pulse.h"
#include "comm/communicator.h"

namespace switchyard {

/// Takes over `inner`, a communicator of the world, and is called "world" in messages. Its splits are watched too,
/// under names of their own: "world/1" is what the first one made. `pulse` outlives it.
std::unique_ptr<Communicator> watch_communicator(std::unique_ptr<Communicator> inner, Pulse& pulse);

}  // namespace switchyard
