// Whether a model that was read with deltas is the one they lead to.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/hash.h"
#include "model/config/model_config.h"

namespace switchyard {

/// Fails (input) unless `found`, the hash of what was read, is what the last delta leads to; without deltas anything is
/// right. What was wrong, the base or a delta, is then found out by reading the base once more, without them. poll:
/// called meanwhile.
void require_result(const ModelConfig& config, const std::filesystem::path& directory,
                    std::span<const std::filesystem::path> deltas, const Hash128& found,
                    const std::function<void()>& poll = {});

}  // namespace switchyard
