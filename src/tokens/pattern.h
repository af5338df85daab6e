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

/// Makes of matches, told from the left, the spans that cover a text.
class SpanWriter {
 public:
  SpanWriter(std::string_view text, std::vector<Span>& spans) : text_(text), spans_(spans) {}

  void match(size_t begin, size_t end) {
    if (begin > covered_) spans_.push_back({begin, false});
    spans_.push_back({end, true});
    covered_ = end;
  }
  void match(const char* begin, const char* end) { match(place_of(begin), place_of(end)); }
  void finish() {
    if (covered_ < text_.size()) spans_.push_back({text_.size(), false});
  }
  size_t covered() const { return covered_; }  ///< where the last match ended

 private:
  size_t place_of(const char* at) const { return static_cast<size_t>(at - text_.data()); }

  std::string_view text_;
  std::vector<Span>& spans_;
  size_t covered_ = 0;
};

class Pattern {
 public:
  virtual ~Pattern() = default;
  /// Appends spans that cover `text`, UTF-8 and not empty. Safe to use from several threads.
  virtual void find(std::string_view text, std::vector<Span>& spans) const = 0;
  /// Whether a match may be of no bytes.
  virtual bool may_match_nothing() const { return false; }
};

/// Replacements after each other could fill any memory: fails (input) where `bytes` are far more than the `original`
/// ones.
void check_growth(size_t bytes, size_t original);

/// Puts `content` in place of each match in `text` (not empty), into `out`; false, and nothing done, if there is none.
/// Fails (input) as check_growth does.
bool replace_matches(const Pattern& pattern, std::string_view text, std::string_view content, std::vector<Span>& spans,
                     std::string& out);

/// Every occurrence of `text` (not empty), from the left, apart from each other.
std::unique_ptr<Pattern> make_literal_pattern(std::string text);

/// Every character of `set`, each by itself.
std::unique_ptr<Pattern> make_character_pattern(unicode::CodePointSet set);

/// A regular expression as Oniguruma 6.9.10 (Hugging Face's) understands it: one of split_patterns.h, a run of a class,
/// or else PCRE2's work. Fails (input) with `subject` for what is none, or is not supported.
std::unique_ptr<Pattern> make_regex_pattern(const std::string& regex, std::string_view subject);

}  // namespace switchyard
