// Hand-written matchers and PCRE2 check each other; regular expressions that are not supported are refused by name.
#include <random>

#include "base/error.h"
#include "tests/tokens/fixtures.h"
#include "tokens/pattern.h"
#include "tokens/pcre_pattern.h"
#include "tokens/split_patterns.h"
#include "tokens/unicode.h"

namespace switchyard {
namespace {

std::vector<std::string> matches_of(const Pattern& pattern, const std::string& text) {
  std::vector<Span> spans;
  if (!text.empty()) pattern.find(text, spans);
  std::vector<std::string> out;
  size_t begin = 0;
  for (const Span& span : spans) {
    out.push_back((span.matches ? "+" : "-") + text.substr(begin, span.end - begin));
    begin = span.end;
  }
  EXPECT_EQ(begin, text.size()) << "spans cover the text";
  return out;
}

/// Characters that classes tell apart, some with their neighbours, and whole words that patterns name.
class NastyText {
 public:
  std::string draw(size_t most) {
    std::string text;
    for (size_t n = below(most) + 1; n > 0; --n) text += part();
    return text;
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  std::string part() {
    static const std::string kParts[] = {
        "a",       "b",      "Z",      "Q",      "s",          "S",          "t",      "'s",         "'RE",    "'lL",
        "'\u017f", "'",      "'d",     " ",      "  ",         "\n",         "\r",     "\t",         "\r\n",   "1",
        "23",      "\u0663", "\u00bd", "\u216b", ".",          "/",          "!?",     "_",          "$",      "\u00e9",
        "\u00c9",  "\u01c5", "\u02b0", "\u4e2d", "\u3042",     "\u0301",     "\u0e49", "\u20ac",     "\u2028", "\u0085",
        "\u00a0",  "\u3000", "\u200b", "\u180e", "\u00ad",     "\u0378",     "\x01",   "\U0001f600", "<",      "|",
        "\\",      "-",      "[",      "]",      "\U00010400", "\U0001fae9", "\u1c89", "\ufeff",     "\uff01"};
    if (below(20) != 0) return kParts[below(std::size(kParts))];
    for (;;)
      if (const auto c = static_cast<uint32_t>(below(0x30000)); c < 0xd800 || c > 0xdfff) return unicode::to_utf8(c);
  }
  std::mt19937_64 random_{11};
};

class KnownPatterns : public testing::TestWithParam<size_t> {};

TEST_P(KnownPatterns, MatchAsPcre2Does) {
  const std::string regex(known_patterns().at(GetParam()));
  const auto known = make_known_pattern(regex);
  const auto pcre = make_pcre_pattern(regex, "test");
  NastyText texts;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = texts.draw(i % 10 == 0 ? 200 : 12);
    ASSERT_EQ(matches_of(*known, text), matches_of(*pcre, text)) << regex << "\n" << testing::PrintToString(text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, KnownPatterns, testing::Range(size_t{0}, known_patterns().size()));

TEST(ClassRuns, MatchAsPcre2Does) {
  for (const std::string regex :
       {"[\r\n]", "\\s?[A-Za-z\u00b5\u00c0-\u01ba]+", "\\s?[!-/:-~\uff01-\uff0f\u2018-\u201f\u3000-\u3002]+",
        "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "\\s?\\p{L}+", "\\s?\\p{P}+", "\\p{N}", "[^\\s\\p{L}]+"}) {
    const auto run = make_regex_pattern(regex, "test");
    const auto pcre = make_pcre_pattern(regex, "test");
    NastyText texts;
    for (int i = 0; i < 1000; ++i) {
      const std::string text = texts.draw(20);
      ASSERT_EQ(matches_of(*run, text), matches_of(*pcre, text)) << regex << "\n" << testing::PrintToString(text);
    }
  }
}

TEST(KnownPatterns, LinesEndWhereOnigurumaHasThem) {
  using Parts = std::vector<std::string>;
  const auto spaces = make_regex_pattern("\\s+$", "test");
  EXPECT_EQ(matches_of(*spaces, "a  \n b  "), (Parts{"-a", "+  ", "-\n b", "+  "}));
  EXPECT_EQ(matches_of(*spaces, " \n\n x"), (Parts{"+ \n", "-\n x"}));
  EXPECT_EQ(matches_of(*spaces, " x"), (Parts{"- x"}));
}

TEST(KnownPatterns, LongRunsTakeNoQuadraticTime) {
  for (const std::string_view regex : known_patterns())
    for (const std::string unit : {"a", "A", " ", "\n", "1", ".", "\u0301", "' ", "a\n ", "  x"}) {
      std::string text;
      for (int i = 0; i < 100000; ++i) text += unit;
      matches_of(*make_known_pattern(regex), text + "x");
    }
}

TEST(Pcre, MatchesAsHuggingFaceIterates) {
  using Parts = std::vector<std::string>;
  const auto matches = [](const std::string& regex, const std::string& text) {
    return matches_of(*make_pcre_pattern(regex, "test"), text);
  };
  EXPECT_EQ(matches("x*", "axb"), (Parts{"+", "-a", "+x", "-b", "+"})) << "no empty match right after a match";
  EXPECT_EQ(matches("^a|b$", "ab\na\nb"), (Parts{"+a", "+b", "-\n", "+a", "-\n", "+b"}));
  EXPECT_EQ(matches("\\Aa", "aa"), (Parts{"+a", "-a"}));
  EXPECT_EQ(matches("(?i:k)", "kK\u212a"), (Parts{"+k", "+K", "+\u212a"}));
  EXPECT_EQ(matches("\\s", "\u180e\u0085"), (Parts{"-\u180e", "+\u0085"}));
  EXPECT_EQ(matches("\\p{L}+", "\u1c89\U000105c0"), (Parts{"+\u1c89\U000105c0"})) << "letters of Unicode 16";
  EXPECT_EQ(matches("a{,2}b{2,}?", "aaabbb"), (Parts{"-a", "+aabb", "-b"}));
  EXPECT_EQ(matches("[-a\\]\\x{4e2d}]", "-]b\u4e2d"), (Parts{"+-", "+]", "-b", "+\u4e2d"}));
}

TEST(Pcre, WhatIsNotSupportedIsRefusedByName) {
  const std::pair<const char*, const char*> kCases[] = {
      {"\\p{Han}+", "\\p{Han}"},
      {"a\\b", "\\b"},
      {"[[a]b]", "a set of sets"},
      {"[a&&b]", "a set of sets"},
      {"(?<n>a)\\1", "this kind"},
      {"a{2}+", "a quantifier"},
      {"(?i)a", "this kind of group"},
      {"(?i:ss)", "\"ss\""},
      {"(?i:\u00e9)", "not ASCII"},
      {"(a", "'(' without"},
      {"a)", "')' without"},
      {"[z-a]", "an empty range"},
      {"[]", "an empty set"},
      {"*a", "quantifier of nothing"},
      {"a**", "quantifier of nothing"},
      {"\\p{L", "unfinished"},
      {"\\x{d800}", "this escape"},
      {"a{x}", "begins no quantifier"},
      {"\\", "\\ "},
  };
  for (const auto& [regex, expected] : kCases) {
    const std::string error = tests::error_of([&, r = regex] { make_pcre_pattern(r, "FILE: normalizer"); });
    EXPECT_NE(error.find(expected), std::string::npos) << regex << ": " << error;
    EXPECT_NE(error.find("FILE: normalizer"), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace switchyard
