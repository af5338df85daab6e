#include "tokens/split_patterns.h"

#include <array>

#include "tokens/unicode.h"

namespace switchyard {
namespace {

using namespace unicode;

/// A code point's class, and how many bytes it takes; at the end of the text: none, 0.
struct Peek {
  uint8_t classes = 0;
  uint8_t bytes = 0;
  bool is(uint8_t set) const { return (classes & set) != 0; }
};

/// The pieces that the patterns below are made of. Each looks at the text from `at`; a null pointer says "no match".
class Scanner {
 public:
  explicit Scanner(std::string_view text) : end_(text.data() + text.size()) {}

  Peek peek(const char* at) const {
    if (at == end_) return {};
    const auto byte = static_cast<unsigned char>(*at);
    if (byte < 0x80) return {ascii_[byte], 1};
    const Decoded c = decode(at);
    return {table_[c.code_point], static_cast<uint8_t>(c.bytes)};
  }

  /// [set]*
  const char* run(const char* at, uint8_t set) const {
    return skip(at, [set](uint8_t classes) { return (classes & set) != 0; });
  }
  /// [^set]*
  const char* run_without(const char* at, uint8_t set) const {
    return skip(at, [set](uint8_t classes) { return (classes & set) == 0; });
  }
  /// [set]{1,most}, where one is there
  const char* run_up_to(const char* at, uint8_t set, int most) const {
    for (int i = 0; i < most; ++i) {
      const Peek next = peek(at);
      if (!next.is(set)) break;
      at += next.bytes;
    }
    return at;
  }

  bool is(const char* at, char c) const { return at != end_ && *at == c; }
  bool is_line_end(const char* at) const { return is(at, '\n') || is(at, '\r'); }
  /// [\r\n]*
  const char* line_ends(const char* at) const {
    while (is_line_end(at)) ++at;
    return at;
  }
  /// [\r\n/]*
  const char* line_ends_and_slashes(const char* at) const {
    while (is_line_end(at) || is(at, '/')) ++at;
    return at;
  }

  /// 's|'t|'re|'ve|'m|'ll|'d
  const char* contraction(const char* at) const {
    if (!is(at, '\'')) return nullptr;
    const char first = at + 1 != end_ ? at[1] : '\0', second = at + 1 != end_ && at + 2 != end_ ? at[2] : '\0';
    return contraction_length(first, second) == 0 ? nullptr : at + 1 + contraction_length(first, second);
  }

  /// (?i:'s|'t|'re|'ve|'m|'ll|'d). Case folding has a third s, U+017F, of two bytes; the other letters have no third.
  const char* contraction_any_case(const char* at) const {
    if (!is(at, '\'')) return nullptr;
    const size_t left = static_cast<size_t>(end_ - at);
    if (left >= 3 && at[1] == '\xc5' && at[2] == '\xbf') return at + 3;
    const auto lower = [&](size_t i) { return i < left ? static_cast<char>(at[i] | 0x20) : '\0'; };
    const size_t length = contraction_length(lower(1), lower(2));
    return length == 0 ? nullptr : at + 1 + length;
  }

  /// \s+(?!\S)|\s+ at white space: all of a run at the end of the text; otherwise without its last one, which goes with
  /// what follows, unless it is the only one.
  const char* spaces(const char* at) const {
    const char* const run_end = run(at, kSpace);
    if (run_end == end_) return run_end;
    const char* const last = previous(run_end);
    return last == at ? run_end : last;
  }

  /// \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to its last line end, where it has one.
  const char* lines_or_spaces(const char* at) const {
    const char* const run_end = run(at, kSpace);
    for (const char* last = run_end; last != at; --last)
      if (last[-1] == '\n' || last[-1] == '\r') return last;
    if (run_end == end_) return run_end;
    const char* const last = previous(run_end);
    return last == at ? run_end : last;
  }

 private:
  static size_t contraction_length(char first, char second) {
    switch (first) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 1;
      case 'r':
      case 'v':
        return second == 'e' ? 2 : 0;
      case 'l':
        return second == 'l' ? 2 : 0;
      default:
        return 0;
    }
  }

  template <class Wanted>
  const char* skip(const char* at, const Wanted& wanted) const {
    while (at != end_) {
      const auto byte = static_cast<unsigned char>(*at);
      if (byte < 0x80) {
        if (!wanted(ascii_[byte])) break;
        ++at;
      } else {
        const Decoded c = decode(at);
        if (!wanted(table_[c.code_point])) break;
        at += c.bytes;
      }
    }
    return at;
  }

  static const std::array<uint8_t, 128>& ascii_classes() {
    static const std::array<uint8_t, 128> table = [] {
      std::array<uint8_t, 128> classes;
      for (uint32_t c = 0; c < 128; ++c) classes[c] = class_table()[c];
      return classes;
    }();
    return table;
  }

  const char* end_;
  const std::array<uint8_t, 128>& ascii_ = ascii_classes();
  const ByteTable& table_ = class_table();
};

/// [^\r\n\p{L}\p{N}]?
const char* one_before_letters(const Scanner& text, const char* at) {
  const Peek first = text.peek(at);
  return first.is(kLetter | kNumber) || text.is_line_end(at) ? at : at + first.bytes;
}

/// What the patterns of Qwen and GLM have in common, which differ in what a letter is and in how many digits they take
/// together.
template <uint8_t kLetters, int kDigits>
struct Cl100k {
  static const char* match(const Scanner& text, const char* at) {
    if (const char* end = text.contraction_any_case(at)) return end;
    const char* const letters =
        one_before_letters(text, at);  // it may also be one of kLetters itself: the same run then
    if (const char* end = text.run(letters, kLetters); end != letters) return end;
    const Peek first = text.peek(at);
    if (first.is(kLetters)) return at + first.bytes;
    if (first.is(kNumber)) return text.run_up_to(at, kNumber, kDigits);
    const char* const others = text.is(at, ' ') ? at + 1 : at;
    if (const char* end = text.run_without(others, kSpace | kLetters | kNumber); end != others)
      return text.line_ends(end);
    return text.lines_or_spaces(at);
  }
};

/// Words of capitals and small letters; a letter without case (and a mark) is both.
struct O200k {
  static constexpr uint8_t kBoth = kOther | kMark, kCapitals = kUpper | kBoth, kSmall = kLower | kBoth;

  /// [capitals]*[small]+ : the capitals' run gives back as much of its end as [small]+ needs to begin.
  static const char* small_word(const Scanner& text, const char* at) {
    const char* const capitals_end = text.run(at, kCapitals);
    if (const char* end = text.run(capitals_end, kSmall); end != capitals_end) return end;
    for (const char* end = capitals_end; end != at; end = previous(end))
      if (text.peek(previous(end)).is(kBoth)) return end;
    return nullptr;
  }
  /// [capitals]+[small]*, where small_word() has not matched: no small letter follows.
  static const char* capital_word(const Scanner& text, const char* at) {
    const char* const end = text.run(at, kCapitals);
    return end == at ? nullptr : end;
  }

  static const char* word(const Scanner& text, const char* at) {
    const char* const after_one = one_before_letters(text, at);
    const char* end = small_word(text, after_one);
    if (end == nullptr && after_one != at) end = small_word(text, at);
    if (end == nullptr) end = capital_word(text, after_one);
    if (end == nullptr) return nullptr;
    const char* const contraction = text.contraction_any_case(end);
    return contraction == nullptr ? end : contraction;
  }

  static const char* match(const Scanner& text, const char* at) {
    if (const char* end = word(text, at)) return end;
    if (text.peek(at).is(kNumber)) return text.run_up_to(at, kNumber, 3);
    const char* const others = text.is(at, ' ') ? at + 1 : at;
    if (const char* end = text.run_without(others, kSpace | kLetter | kNumber); end != others)
      return text.line_ends_and_slashes(end);
    return text.lines_or_spaces(at);
  }
};

struct DeepSeekV3 {
  static bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  /// [!-/:-@\[-`{-~][A-Za-z]+
  static const char* command(const Scanner& text, const char* at) {
    if (static_cast<unsigned char>(*at) >= 0x80 || !text.peek(at).is(kPunctuation | kSymbol)) return nullptr;
    const char* end = at + 1;
    while (text.peek(end).bytes == 1 && is_ascii_letter(*end)) ++end;
    return end == at + 1 ? nullptr : end;
  }

  static const char* match(const Scanner& text, const char* at) {
    if (const char* end = command(text, at)) return end;
    const Peek first = text.peek(at);
    const bool any_before = !first.is(kLetter | kPunctuation | kSymbol) && !text.is_line_end(at);
    const char* const letters = any_before ? at + first.bytes : at;
    if (const char* end = text.run(letters, kLetter | kMark); end != letters) return end;
    if (first.is(kMark)) return at + first.bytes;
    const char* const others = text.is(at, ' ') ? at + 1 : at;
    if (const char* end = text.run(others, kPunctuation | kSymbol); end != others) return text.line_ends(end);
    return first.is(kSpace) ? text.lines_or_spaces(at) : nullptr;
  }
};

struct Gpt2 {
  static const char* match(const Scanner& text, const char* at) {
    if (const char* end = text.contraction(at)) return end;
    const char* const word = text.is(at, ' ') ? at + 1 : at;
    for (const uint8_t set : {uint8_t{kLetter}, uint8_t{kNumber}})
      if (const char* end = text.run(word, set); end != word) return end;
    if (const char* end = text.run_without(word, kSpace | kLetter | kNumber); end != word) return end;
    return text.spaces(at);
  }
};

/// \p{N}{1,3}
struct UpToThreeDigits {
  static const char* match(const Scanner& text, const char* at) {
    const char* const end = text.run_up_to(at, kNumber, 3);
    return end == at ? nullptr : end;
  }
};

/// \s+$, where $ is the end of every line (Oniguruma's Ruby syntax): up to the last line end that follows within a run
/// of white space. Looked for run by run, for from every start it would be quadratic.
class LineEndSpaces : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& spans) const override {
    const Scanner scanner(text);
    const char *const begin = text.data(), *const end = begin + text.size();
    SpanWriter writer(text, spans);
    for (const char* at = begin; at != end;) {
      at = scanner.run_without(at, kSpace);
      const char* const run_end = scanner.run(at, kSpace);
      const char* match_end = run_end;
      if (run_end != end)
        while (match_end != at && *match_end != '\n') --match_end;
      if (match_end != at) writer.match(at, match_end);
      at = run_end;
    }
    writer.finish();
  }
};

template <class Matcher>
class Known : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& spans) const override {
    const Scanner scanner(text);
    const char *const begin = text.data(), *const end = begin + text.size();
    SpanWriter writer(text, spans);
    for (const char* at = begin; at != end;) {
      const char* const match_end = Matcher::match(scanner, at);
      if (match_end == nullptr) {
        at += scanner.peek(at).bytes;
        continue;
      }
      writer.match(at, match_end);
      at = match_end;
    }
    writer.finish();
  }
};

template <class P>
std::unique_ptr<Pattern> make() {
  return std::make_unique<P>();
}

struct KnownRegex {
  std::string_view regex;
  std::unique_ptr<Pattern> (*make)();
};

constexpr uint8_t kLettersAndMarks = kLetter | kMark;

constexpr KnownRegex kKnown[] = {
    // Qwen2, Qwen2.5, Qwen3
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     make<Known<Cl100k<kLetter, 1>>>},
    // Qwen3.5
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     make<Known<Cl100k<kLettersAndMarks, 1>>>},
    // cl100k: GLM-4.5, Llama-3, dolma2
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     make<Known<Cl100k<kLetter, 3>>>},
    // o200k: gpt-oss, MiniMax, Llama-4
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     make<Known<O200k>>},
    // DeepSeek-V3: its first and its third; the second is a run of a class
    {R"(\p{N}{1,3})", make<Known<UpToThreeDigits>>},
    {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
     "?[\\p{P}\\p{S}]+[\r\n]*"
     "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
     make<Known<DeepSeekV3>>},
    // DeepSeek-V2; its others are runs of a class
    {R"(\s+$)", make<LineEndSpaces>},
    // GPT-2: GPT-NeoX, OLMoE
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", make<Known<Gpt2>>},
};

}  // namespace

const std::string_view kByteLevelRegex = kKnown[std::size(kKnown) - 1].regex;

std::unique_ptr<Pattern> make_known_pattern(std::string_view regex) {
  for (const KnownRegex& known : kKnown)
    if (known.regex == regex) return known.make();
  return nullptr;
}

std::vector<std::string_view> known_patterns() {
  std::vector<std::string_view> all;
  for (const KnownRegex& known : kKnown) all.push_back(known.regex);
  return all;
}

}  // namespace switchyard
