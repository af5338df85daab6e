// What --quantiles asks for: levels of the distribution that a model of numbers predicts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/input.h"
#include "tokens/bins.h"

namespace switchyard {

/// "0.05,0.5,0.95"; none of an empty text. Fails (usage) unless they rise between 0 and 1, at most 64.
std::vector<double> parse_levels(std::string_view written);
/// As parse_levels() takes them, and always the same.
std::string levels_text(std::span<const double> levels);

/// The bins that the input's tokens are. Fails (usage) where it has other tokens, or more bins than the model tokens.
Bins bins_of(const ScoringInput& input, int64_t vocab_size);

}  // namespace switchyard
