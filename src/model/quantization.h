// Checkpoints whose tensors are codes and scales rather than weights: not read, whoever says that the field may be
// ignored.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace switchyard {

/// Whether a field of config.json says how tensors are quantised or compressed: quantization_config and its like.
bool tells_storage(std::string_view field);

/// What such a field, or such a file, says: "fp8", "gptq, 4 bits". Empty where it says that nothing is quantised.
std::string quantization_of(const Json& description);

/// The same of the files that tools write beside config.json instead of a field in it: one "FILE says …" for each that
/// names a quantisation. Fails (input) when one cannot be read.
std::vector<std::string> quantization_beside(const std::filesystem::path& directory);

}  // namespace switchyard
