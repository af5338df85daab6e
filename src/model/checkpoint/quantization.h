// Checkpoints whose tensors are codes and scales rather than weights: those of no known format (weight_format.h) are
// not read, whoever says that the field may be ignored.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "model/config/model_config.h"

namespace switchyard {

/// Whether a field of config.json says how tensors are quantised or compressed: quantization_config and its like.
bool tells_storage(std::string_view field);

/// What such a field, or such a file, says: "fp8", "gptq, 4 bits". Empty where it says that nothing is quantised.
std::string quantization_of(const Json& description);

/// Takes a quantization_config apart that names a known format. Returns what it says, as above, and what of it is wrong
/// or not implemented; empty where it is in `weights` now.
std::string read_quantization(const Json& description, QuantisedWeights& weights);

/// What quantization_of() says of the files that tools write beside config.json instead of a field in it: one "FILE
/// says …" for each that names a quantisation. Fails (input) when one cannot be read.
std::vector<std::string> quantization_beside(const std::filesystem::path& directory);

}  // namespace switchyard
