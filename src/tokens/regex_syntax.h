// Oniguruma's regular expressions (Ruby syntax), as far as tokenizers use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/unicode.h"

namespace switchyard {

/// The same regular expression for PCRE2, whose Unicode is another one: every class, escape and letter without regard
/// to case is spelt out in code points. To be compiled with PCRE2_UTF | PCRE2_MULTILINE and line feeds as only
/// newlines.
struct PcreRegex {
  std::string regex;
  std::string by_reference;  ///< each class once, referred to where it stands: far smaller and slower
};

/// Fails (input) with `subject` for what is not supported: the construct, and where it is.
PcreRegex translate_regex(std::string_view regex, std::string_view subject);

/// `[class]`, `[class]+`, `\s?[class]` or `\s?[class]+`: what splits letters, scripts and digits off.
struct ClassRunRegex {
  bool space_before = false;
  unicode::CodePointSet set;
  bool repeats = false;
};
/// Empty for another regular expression, or one that translate_regex refuses.
std::optional<ClassRunRegex> as_class_run(std::string_view regex);

}  // namespace switchyard
