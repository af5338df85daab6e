// What a text is split by, or what is replaced in it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/unicode.h"

namespace switchyard {

/// A part of a text, from where the one before ended.
struct Span {
  size_t end;
  bool matches;  ///< false: what lies between matches
};

class Pattern {
 public:
  virtual ~Pattern() = default;
  /// Appends spans that cover `text`, UTF-8 and not empty. Safe to use from several threads.
  virtual void find(std::string_view text, std::vector<Span>& spans) const = 0;
  /// Whether a match may be of no bytes.
  virtual bool may_match_nothing() const { return false; }
};

/// Every occurrence of `text` (not empty), from the left, apart from each other.
std::unique_ptr<Pattern> make_literal_pattern(std::string text);

/// Every character of `set`, each by itself.
std::unique_ptr<Pattern> make_character_pattern(unicode::CodePointSet set);

/// A regular expression as Oniguruma 6.9.10 (Hugging Face's) understands it: one of split_patterns.h, a run of a class,
/// or else PCRE2's work. Fails (input) with `subject` for what is none, or is not supported.
std::unique_ptr<Pattern> make_regex_pattern(const std::string& regex, std::string_view subject);

}  // namespace switchyard
