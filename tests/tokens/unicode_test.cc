// Classes and normalization against digests of Hugging Face's (tests/data/tokenizers/classes.json).
#include "tokens/unicode.h"

#include "io/file.h"
#include "io/json.h"
#include "tests/tokens/fixtures.h"
#include "tokens/nfc.h"
#include "tokens/regex_syntax.h"

namespace switchyard::unicode {
namespace {

class Fnv {
 public:
  void add(std::string_view text) {
    for (const char c : text) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::string hex() const { return fmt::format("{:016x}", value_); }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

constexpr bool is_surrogate(uint32_t c) {
  return c >= 0xd800 && c <= 0xdfff;
}

Json digests() {
  return parse_json(read_text_file(tests::tokenizer_data() / "classes.json"), "classes.json");
}

TEST(Unicode, ClassesAreHuggingFaces) {
  const Json all = digests();
  int classes = 0;
  for (const auto& [name, expected] : all.items()) {
    if (name == "NFC") continue;
    const auto run = as_class_run(name);
    ASSERT_TRUE(run) << name;
    int64_t count = 0;
    Fnv digest;
    for (uint32_t c = 0; c <= kLastCodePoint;) {
      if (is_surrogate(c) || !run->set.contains(c)) {
        ++c;
        continue;
      }
      uint32_t last = c;
      while (last < kLastCodePoint && !is_surrogate(last + 1) && run->set.contains(last + 1)) ++last;
      digest.add(fmt::format("{}-{},", c, last));
      count += last - c + 1;
      c = last + 1;
    }
    EXPECT_EQ(count, expected.at(0)) << name;
    EXPECT_EQ(digest.hex(), expected.at(1)) << name;
    ++classes;
  }
  EXPECT_GE(classes, 20);
}

TEST(Unicode, ClassBitsAreThoseOfTheSets) {
  const std::pair<uint8_t, CodePointSet> kSets[] = {
      {kLetter, CodePointSet::category("L")}, {kMark, CodePointSet::category("M")},
      {kNumber, CodePointSet::category("N")}, {kPunctuation, CodePointSet::category("P")},
      {kSymbol, CodePointSet::category("S")}, {kSpace, CodePointSet::white_space()},
      {kLower, CodePointSet::category("Ll")},
  };
  for (uint32_t c = 0; c <= kLastCodePoint; ++c)
    for (const auto& [bits, set] : kSets)
      if (((class_table()[c] & bits) != 0) != set.contains(c)) FAIL() << fmt::format("U+{:X}", c);
}

TEST(Nfc, EveryCharacterIsHuggingFaces) {
  Fnv digest;
  std::string buffer;
  const auto add = [&](const std::string& text) {
    digest.add(to_nfc(text, buffer));
    digest.add("\n");
  };
  for (uint32_t c = 0; c <= kLastCodePoint; ++c) {
    if (is_surrogate(c) || c == '\n') continue;
    const std::string text = to_utf8(c);
    add(text);
    add("\u0327" + text + "\u0301");
    add("a" + text);
  }
  EXPECT_EQ(digest.hex(), digests().at("NFC"));
}

TEST(Nfc, Composes) {
  std::string buffer;
  EXPECT_EQ(to_nfc("plain \u00e9", buffer), "plain \u00e9");
  EXPECT_EQ(to_nfc("xe\u0301y", buffer), "x\u00e9y");
  EXPECT_EQ(to_nfc("a\u0301\u0327", buffer), "\u00e1\u0327") << "marks are put in order; the acute is not blocked";
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8", buffer), "\uac01");
  EXPECT_EQ(to_nfc("\uac00\u11a8", buffer), "\uac01");
  EXPECT_EQ(to_nfc("\u212b", buffer), "\u00c5");
  EXPECT_EQ(to_nfc("\u0958", buffer), "\u0915\u093c") << "excluded from composition";
  EXPECT_EQ(to_nfc("\U00011935\U00011930", buffer), "\U00011935\U00011930") << "a pair of Unicode 13";
}

TEST(Nfc, LongRunsOfMarksTakeNoQuadraticTime) {
  std::string text = "a", buffer;
  for (int i = 0; i < 200000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0327";
  EXPECT_EQ(to_nfc(text, buffer).size(), text.size() - 1);
}

TEST(Utf8, InvalidPartsAreFoundAndReplaced) {
  EXPECT_EQ(valid_utf8_prefix("abcdefgh\u00e9\U0001f600"), 14u);
  EXPECT_EQ(replace_invalid_utf8("a\xff"
                                 "b\xe4\xb8"
                                 "c\xe4\xb8\xad"),
            "a\uFFFDb\uFFFDc\u4e2d");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98"), "\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xc0\x80\xf5"), "\uFFFD\uFFFD\uFFFD");
  for (const uint32_t c : {0x24u, 0xa2u, 0x20acu, 0x10348u}) {
    const std::string text = to_utf8(c);
    EXPECT_EQ(decode(text.data()).code_point, c);
    EXPECT_EQ(valid_utf8_prefix(text), text.size());
  }
}

}  // namespace
}  // namespace switchyard::unicode
