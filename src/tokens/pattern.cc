#include "tokens/pattern.h"

#include <algorithm>

#include "base/error.h"
#include "tokens/pcre_pattern.h"
#include "tokens/regex_syntax.h"
#include "tokens/split_patterns.h"

namespace switchyard {
namespace {

constexpr size_t kMostGrowth = 64, kAlwaysAllowed = 64 << 10;

class Literal : public Pattern {
 public:
  explicit Literal(std::string text) : text_(std::move(text)) {}

  void find(std::string_view text, std::vector<Span>& spans) const override {
    SpanWriter writer(text, spans);
    for (size_t at; (at = text.find(text_, writer.covered())) != text.npos;) writer.match(at, at + text_.size());
    writer.finish();
  }

 private:
  std::string text_;
};

class ClassRun : public Pattern {
 public:
  explicit ClassRun(ClassRunRegex regex) : regex_(std::move(regex)) {}

  void find(std::string_view text, std::vector<Span>& spans) const override {
    const char *const begin = text.data(), *const end = begin + text.size();
    SpanWriter writer(text, spans);
    for (const char* at = begin; at != end;) {
      const char* const match_end = match(at, end);
      if (match_end == at) {
        at += unicode::decode(at).bytes;
        continue;
      }
      writer.match(at, match_end);
      at = match_end;
    }
    writer.finish();
  }

 private:
  /// `at` itself: none.
  const char* match(const char* at, const char* end) const {
    if (regex_.space_before) {
      const unicode::Decoded first = unicode::decode(at);
      if (white_space_.contains(first.code_point)) {
        const char* const after = at + first.bytes;
        if (const char* to = run(after, end); to != after) return to;
      }
    }
    return run(at, end);
  }

  const char* run(const char* at, const char* end) const {
    while (at != end) {
      const unicode::Decoded c = unicode::decode(at);
      if (!regex_.set.contains(c.code_point)) break;
      at += c.bytes;
      if (!regex_.repeats) break;
    }
    return at;
  }

  ClassRunRegex regex_;
  unicode::CodePointSet white_space_ = unicode::CodePointSet::white_space();
};

}  // namespace

void check_growth(size_t bytes, size_t original) {
  if (bytes <= kMostGrowth * original + kAlwaysAllowed) return;
  fail(ExitCode::input, "replacing makes {} bytes of a text of {}: at most {} times as many are supported", bytes,
       original, kMostGrowth);
}

bool replace_matches(const Pattern& pattern, std::string_view text, std::string_view content, std::vector<Span>& spans,
                     std::string& out) {
  spans.clear();
  pattern.find(text, spans);
  const auto matches = static_cast<size_t>(std::ranges::count_if(spans, &Span::matches));
  if (matches == 0) return false;
  check_growth(matches * content.size(), text.size());
  out.clear();
  size_t begin = 0;
  for (const Span& span : spans) {
    out += span.matches ? content : text.substr(begin, span.end - begin);
    begin = span.end;
  }
  return true;
}

std::unique_ptr<Pattern> make_literal_pattern(std::string text) {
  return std::make_unique<Literal>(std::move(text));
}

std::unique_ptr<Pattern> make_character_pattern(unicode::CodePointSet set) {
  return std::make_unique<ClassRun>(ClassRunRegex{.set = std::move(set)});
}

std::unique_ptr<Pattern> make_regex_pattern(const std::string& regex, std::string_view subject) {
  if (auto known = make_known_pattern(regex)) return known;
  if (auto run = as_class_run(regex)) return std::make_unique<ClassRun>(std::move(*run));
  return make_pcre_pattern(regex, subject);
}

}  // namespace switchyard
