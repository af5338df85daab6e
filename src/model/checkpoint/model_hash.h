// A model's identity.
#pragma once

#include <filesystem>
#include <vector>

#include "comm/communicator.h"
#include "model/checkpoint/part_reader.h"

namespace switchyard {

/// All parts' hashes in the order of their ids, whoever read them. It is of the stored bytes: the same weights in
/// another format are another model. Fails (input) where two have read different bytes of one part.
Hash128 combine_hashes(std::vector<PartHash> parts);

/// That of the parts that all ranks of the group have read, the same on all of them. Collective; fails on all of them
/// alike.
Hash128 hash_of_model(Communicator& group, const std::vector<PartHash>& parts);

/// Fails (input), collectively, where groups of the world have found different hashes in a model's directory.
void require_same_model(Communicator& world, const Hash128& hash, const std::filesystem::path& model);

}  // namespace switchyard
