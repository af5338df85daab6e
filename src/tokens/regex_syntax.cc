#include "tokens/regex_syntax.h"

#include <cctype>
#include <map>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {
namespace {

using unicode::CodePointSet;
using unicode::Range;

constexpr uint32_t kFirstSurrogate = 0xd800, kLastSurrogate = 0xdfff;

/// Reads a regular expression from left to right.
class Reader {
 public:
  Reader(std::string_view regex, std::string_view subject) : regex_(regex), subject_(subject) {}

  bool done() const { return at_ == regex_.size(); }
  char peek() const { return done() ? '\0' : regex_[at_]; }
  bool starts_with(std::string_view text) const { return regex_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t code_point() {
    if (done()) refuse("an end here");
    const unicode::Decoded c = unicode::decode(regex_.data() + at_);
    at_ += c.bytes;
    return c.code_point;
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ExitCode::input, "{}: regular expression {}: {} at byte {} is not supported", subject_,
         brief(Json(std::string(regex_))), what, at_);
  }

  /// [...], whose "[" has been taken.
  CodePointSet bracketed() {
    const bool negated = take("^");
    std::vector<Range> ranges;
    for (bool first = true; !take("]"); first = false) {
      if (starts_with("[") || starts_with("&&")) refuse("a set of sets");
      if (starts_with("-") && !first && !starts_with("-]")) refuse("a '-' between ranges");
      if (const auto set = class_escape(true)) {
        ranges.insert(ranges.end(), set->ranges().begin(), set->ranges().end());
        if (starts_with("-") && !starts_with("-]")) refuse("a range that begins with a class");
        continue;
      }
      const uint32_t low = character();
      uint32_t high = low;
      if (starts_with("-") && !starts_with("-]")) {
        take("-");
        if (starts_with("[") || class_escape(true)) refuse("a range that ends with a class");
        high = character();
        if (high < low) refuse("an empty range");
      }
      ranges.push_back({low, high});
    }
    if (ranges.empty()) refuse("an empty set");
    const CodePointSet set(std::move(ranges));
    return negated ? set.complement() : set;
  }

  /// \s \S \d \D \w \W \p{…} \P{…}, if one is here. Within brackets Oniguruma's \w is another.
  std::optional<CodePointSet> class_escape(bool in_brackets = false) {
    if (take("\\s")) return CodePointSet::white_space();
    if (take("\\S")) return CodePointSet::white_space().complement();
    if (take("\\d")) return CodePointSet::category("Nd");
    if (take("\\D")) return CodePointSet::category("Nd").complement();
    if (take("\\w")) return CodePointSet::word(!in_brackets);
    if (take("\\W")) return CodePointSet::word(!in_brackets).complement();
    bool negated = starts_with("\\P{");
    if (!take("\\p{") && !take("\\P{")) return std::nullopt;
    if (take("^")) negated = !negated;
    const size_t end = regex_.find('}', at_);
    if (end == regex_.npos) refuse("an unfinished \\p{");
    const CodePointSet set = CodePointSet::category(regex_.substr(at_, end - at_));
    if (set.ranges().empty())
      refuse(fmt::format("\\p{{{}}} (only general categories are)", regex_.substr(at_, end - at_)));
    at_ = end + 1;
    return negated ? set.complement() : set;
  }

  /// A character, escaped or not.
  uint32_t character() {
    if (!take("\\")) return code_point();
    constexpr std::pair<char, uint32_t> kControls[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'f', '\f'},
                                                       {'v', '\v'}, {'a', '\a'}, {'e', 0x1b}};
    for (const auto& [letter, control] : kControls)
      if (take(std::string_view(&letter, 1))) return control;
    if (take("x{")) return hexadecimal(1, 8, "}");
    if (take("x")) return hexadecimal(2, 2, "");
    if (take("u")) return hexadecimal(4, 4, "");
    const auto byte = static_cast<unsigned char>(peek());
    if (byte >= 0x80 || std::isalnum(byte) != 0 || done()) refuse(fmt::format("\\{}", done() ? ' ' : peek()));
    return code_point();
  }

  /// *, +, ?, {n}, {n,}, {,m}, {n,m} with what says lazy or possessive; empty if none is here.
  std::string quantifier() {
    for (const std::string_view simple : {"*", "+", "?"})
      if (take(simple)) return std::string(simple) + (take("?") ? "?" : take("+") ? "+" : "");
    if (!take("{")) return "";
    const std::string least = digits(), most = take(",") ? "," + digits() : "";
    if (!take("}") || (least.empty() && most.size() < 2)) refuse("'{' that begins no quantifier");
    // In Ruby's syntax {n}? is not lazy and {n,m}+ not possessive.
    if (starts_with("+") || (starts_with("?") && most.empty())) refuse("a quantifier of a quantifier");
    return "{" + (least.empty() ? "0" : least) + most + "}" + (take("?") ? "?" : "");
  }

 private:
  std::string digits() {
    std::string out;
    while (peek() >= '0' && peek() <= '9') {
      out += peek();
      ++at_;
    }
    return out;
  }

  uint32_t hexadecimal(size_t least, size_t most, std::string_view closing) {
    uint32_t value = 0;
    size_t n = 0;
    for (; n < most && std::isxdigit(static_cast<unsigned char>(peek())) != 0; ++n, ++at_) {
      const int c = std::tolower(peek());
      value = value << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    const bool scalar = value <= unicode::kLastCodePoint && (value < kFirstSurrogate || value > kLastSurrogate);
    if (n < least || !take(closing) || !scalar) refuse("this escape of a code point");
    return value;
  }

  std::string_view regex_, subject_;
  size_t at_ = 0;
};

class Translator {
 public:
  Translator(std::string_view regex, std::string_view subject) : in_(regex, subject) {}

  PcreRegex run() {
    alternatives(0, false);
    if (!in_.done()) in_.refuse("')' without '('");
    std::string definitions;
    for (const auto& [set, name] : names_) definitions += fmt::format("(?<{}>{})", name, set);
    return {inline_, "(?(DEFINE)" + definitions + ")" + referring_};
  }

 private:
  static constexpr int kMaxDepth = 50;

  /// Up to the end, or a ")".
  void alternatives(int depth, bool any_case) {
    if (depth > kMaxDepth) in_.refuse("nesting as deep as this");
    folded_.clear();
    while (!in_.done() && in_.peek() != ')') {
      if (in_.take("|")) {
        folded_.clear();
        put("|");
        continue;
      }
      if (!assertion()) {
        if (in_.take("("))
          group(depth, any_case);
        else
          one_character(any_case);
        put(in_.quantifier());
      }
    }
  }

  /// ^ and $ of every line, \A and \z.
  bool assertion() {
    for (const std::string_view same : {"^", "$", "\\A", "\\z"})
      if (in_.take(same)) {
        put(same);
        if (!in_.quantifier().empty()) in_.refuse("a repeated assertion");
        return true;
      }
    return false;
  }

  void group(int depth, bool any_case) {
    if (in_.take("?i:")) {
      put("(?:");
      any_case = true;
    } else if (in_.peek() == '?') {
      const auto begins = [&](std::string_view text) { return in_.take(text) && (put("(" + std::string(text)), true); };
      if (!begins("?:") && !begins("?=") && !begins("?!") && !begins("?<=") && !begins("?<!") && !begins("?>"))
        in_.refuse("this kind of group");
    } else {
      put("(?:");
    }
    alternatives(depth + 1, any_case);
    if (!in_.take(")")) in_.refuse("'(' without ')'");
    put(")");
    folded_.clear();
  }

  void one_character(bool any_case) {
    if (in_.take(".")) return put(CodePointSet({{'\n', '\n'}}).complement());
    if (in_.take("[")) {
      const CodePointSet set = in_.bracketed();
      return put(any_case ? both_cases(set) : set);
    }
    if (const auto set = in_.class_escape()) return put(*set);
    if (std::string_view("*+?{").find(in_.peek()) != std::string_view::npos) in_.refuse("a quantifier of nothing");
    const uint32_t c = in_.character();
    const CodePointSet set({{c, c}});
    put(any_case ? both_cases(set) : set);
    if (any_case) refuse_ligatures(c);
  }

  /// ASCII only; case folding has a third s and a third k.
  CodePointSet both_cases(CodePointSet set) const {
    if (set.ranges().back().last >= 0x80) in_.refuse("what is not ASCII within (?i:");
    const std::vector<Range> ranges = set.ranges();
    for (const Range range : ranges)
      for (uint32_t c = range.first; c <= range.last; ++c) {
        if (std::isalpha(static_cast<int>(c)) != 0) set.add({c ^ 0x20, c ^ 0x20});
        if ((c | 0x20) == 's') set.add({0x17f, 0x17f});
        if ((c | 0x20) == 'k') set.add({0x212a, 0x212a});
      }
    return set;
  }

  /// Some pairs of letters are also one character without regard to case: "ss" and U+00DF.
  void refuse_ligatures(uint32_t c) {
    folded_ += static_cast<char>(std::tolower(static_cast<int>(c)));
    for (const std::string_view pair : {"ss", "ff", "fi", "fl", "st"})
      if (folded_.ends_with(pair)) in_.refuse(fmt::format("\"{}\" within (?i:", pair));
  }

  void put(std::string_view text) {
    inline_ += text;
    referring_ += text;
  }

  void put(const CodePointSet& set) {
    std::string spelt = "[";
    const auto add = [&](uint32_t first, uint32_t last) {
      if (first <= last) spelt += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", first, last);
    };
    for (const Range range : set.ranges()) {
      const bool around = range.first <= kLastSurrogate && range.last >= kFirstSurrogate;
      if (!around) add(range.first, range.last);
      if (around) add(range.first, kFirstSurrogate - 1);
      if (around) add(kLastSurrogate + 1, range.last);
    }
    spelt = spelt.size() == 1 ? "(?!)" : spelt + "]";
    inline_ += spelt;
    const auto name = names_.emplace(spelt, fmt::format("c{}", names_.size())).first;
    referring_ += fmt::format("(?&{})", name->second);
  }

  Reader in_;
  std::string inline_, referring_, folded_;
  std::map<std::string, std::string> names_;  ///< of the sets, as they are spelt
};

}  // namespace

PcreRegex translate_regex(std::string_view regex, std::string_view subject) {
  return Translator(regex, subject).run();
}

std::optional<ClassRunRegex> as_class_run(std::string_view regex) {
  try {
    Reader in(regex, "");
    ClassRunRegex run;
    run.space_before = in.take("\\s?");
    if (in.take("[")) {
      run.set = in.bracketed();
    } else if (const auto set = in.class_escape()) {
      run.set = *set;
    } else {
      return std::nullopt;
    }
    run.repeats = in.take("+");
    if (!in.done()) return std::nullopt;
    return run;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace switchyard
