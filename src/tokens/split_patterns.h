// The regular expressions by which today's models split text, each as a function made of a few shared pieces.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tokens/pattern.h"

namespace switchyard {

/// Null for a regular expression that is not among them.
std::unique_ptr<Pattern> make_known_pattern(std::string_view regex);

std::vector<std::string_view> known_patterns();  ///< their regular expressions

/// GPT-2's: what the pre-tokenizer ByteLevel splits by.
extern const std::string_view kByteLevelRegex;

}  // namespace switchyard
