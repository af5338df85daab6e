// Regular expressions that have no matcher of their own: PCRE2, compiled to machine code.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tokens/pattern.h"

namespace switchyard {

/// Fails (input) with `subject`: not supported (translate_regex), or too large for PCRE2. Its find() fails (input)
/// where PCRE2 gives up: a match that takes too much memory or too many steps.
std::unique_ptr<Pattern> make_pcre_pattern(const std::string& regex, std::string_view subject);

}  // namespace switchyard
