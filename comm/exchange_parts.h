// Numbers that lie in many places, from rank to rank.
#pragma once

#include <span>
#include <vector>

#include "comm/communicator.h"

namespace switchyard {

/// [ranks] in order, what goes to each rank, or comes from it: f32 on the host.
using PartsOfRanks = std::vector<std::vector<std::span<float>>>;

/// What `from` says on a rank for another lands where that one's `to` says for it: the same number of elements in all,
/// which may be cut otherwise. Takes a copy of what goes and of what comes. Collective.
void exchange_parts(Communicator& world, const PartsOfRanks& from, const PartsOfRanks& to);

}  // namespace switchyard
