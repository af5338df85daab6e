// What a written model has from where it began, besides the weights: its configuration, its tokenizer. `origin`: a
// model's directory, or a config.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace switchyard {

std::filesystem::path directory_of(const std::filesystem::path& origin);

/// The dtype that config.json names; f32 where it names none of those that can be written.
DType named_dtype(const std::filesystem::path& origin);

/// config.json for tensors all of this dtype: the fields of the origin's, without what says that weights are quantised.
/// Without a dtype the origin's own bytes. Fails (input).
std::string exported_config(const std::filesystem::path& origin, std::optional<DType> dtype);

/// Files beside config.json that tell how to use the model: generation_config.json, the tokenizer's, chat templates,
/// and the Python code of models that transformers has no class for. Relative to directory_of(origin).
std::vector<std::filesystem::path> companion_files(const std::filesystem::path& origin);

}  // namespace switchyard
