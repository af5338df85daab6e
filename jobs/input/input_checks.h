// What is looked at, and told, of an input that somebody else made.
#pragma once

#include <optional>
#include <string>

#include "io/input.h"

namespace switchyard {

/// Compares the tokenizer that made tokens with the files beside the model. Fails (input) naming both when they differ,
/// unless `allow_other`; where one of them does not tell, a line in the log says so. whose: for people, whose tokens.
void check_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose, const std::string& model,
                     bool allow_other);

/// Fails (input) likewise, and says nothing of what cannot be told.
void require_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose,
                       const std::string& model);

/// A line in the log names its datasets of no meaning: one of them may be a misspelt "context".
void tell_of_other_datasets(const ScoringInput& input);

}  // namespace switchyard
