// Whether an input's token ids are the model's.
#pragma once

#include <optional>
#include <string>

#include "io/input.h"

namespace switchyard {

/// Compares the tokenizer that made tokens with the files beside the model. Fails (input) naming both when they differ,
/// unless `allow_other`; where one of them does not tell, a line in the log says so. whose: for people, whose tokens.
void check_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose, const std::string& model,
                     bool allow_other);

}  // namespace switchyard
