// Fields of config.json that no family reads: which of them say nothing about the forward pass.
#pragma once

#include <string_view>
#include <vector>

#include "io/json.h"

namespace switchyard {

/// Whatever its value: names, token ids, training and generation settings, a tool's notes.
bool is_harmless_field(std::string_view name);

/// The values at which a field changes nothing, of a field that at others changes the mathematics; empty for fields
/// that are not known. Fields within rope_scaling and rope_parameters are named "rope.FIELD".
std::vector<Json> neutral_values(std::string_view name);

}  // namespace switchyard
