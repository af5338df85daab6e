// Whether an input's token ids are the model's.
#pragma once

#include <filesystem>

#include "io/input.h"

namespace switchyard {

/// Compares the tokenizer that made the input, as it says itself, with the files beside the model. Fails (input) naming
/// both when they differ, unless `allow_other`; where one of them does not tell, a line in the log says so.
void check_tokenizer(const ScoringInput& input, const std::filesystem::path& model, bool allow_other);

}  // namespace switchyard
