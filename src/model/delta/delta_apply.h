// Applying deltas to a model's directory: another directory, the same files.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "model/config/model_config.h"

namespace switchyard {

enum class DeltaDirection : uint8_t { forward, back };

struct AppliedDeltas {
  std::string from, to;  ///< hashes
  uint64_t bytes = 0;    ///< of weights
};

/// Writes `output`: the model's own files, byte for byte but for the elements that the deltas change. deltas: in the
/// order in which they lead from one model to the next; forward from the model that the first was cut from, back from
/// that which the last leads to. Both models' hashes are held against what the deltas say while bytes pass by: the
/// directory is complete and right, or not there. Fails (input) on another model or a damaged delta, (output) where
/// there is something of this name already. Takes a few megabytes. poll: called now and then.
AppliedDeltas apply_deltas(const std::filesystem::path& model, const ModelConfig& config,
                           std::span<const std::filesystem::path> deltas, DeltaDirection direction,
                           const std::filesystem::path& output, const std::function<void()>& poll = {});

}  // namespace switchyard
