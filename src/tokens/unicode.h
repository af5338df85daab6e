// Unicode 16.0 as far as tokenizers ask: general categories, White_Space, UTF-8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::unicode {

enum class Category : uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co,
  Cn
};
constexpr std::string_view kCategoryNames[] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                               "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                               "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};
constexpr uint32_t kLastCodePoint = 0x10ffff;

/// What split patterns tell apart, as a set: a code point has at most one of the first seven bits.
enum Class : uint8_t {
  kUpper = 1,         ///< \p{Lu} \p{Lt}
  kLower = 2,         ///< \p{Ll}
  kOther = 4,         ///< \p{Lm} \p{Lo}
  kMark = 8,          ///< \p{M}
  kNumber = 16,       ///< \p{N}
  kPunctuation = 32,  ///< \p{P}
  kSymbol = 64,       ///< \p{S}
  kSpace = 128,       ///< \s: White_Space
  kLetter = kUpper | kLower | kOther,
};

/// A byte for every code point, in two stages: blocks that are alike are there once.
class ByteTable {
 public:
  explicit ByteTable(const std::vector<uint8_t>& flat);  ///< [kLastCodePoint + 1]
  uint8_t operator[](uint32_t code_point) const {
    return blocks_[size_t{block_of_[code_point >> kBlockBits]} << kBlockBits | (code_point & (kBlockSize - 1))];
  }

 private:
  static constexpr int kBlockBits = 7;
  static constexpr size_t kBlockSize = size_t{1} << kBlockBits;
  std::array<uint16_t, ((kLastCodePoint + 1) >> kBlockBits)> block_of_;
  std::vector<uint8_t> blocks_;
};

/// The Class bits of every code point.
const ByteTable& class_table();

struct Range {
  uint32_t first, last;  ///< both are in it
  bool operator==(const Range&) const = default;
};

/// A set of code points: what a character class of a regular expression says.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<Range> ranges);
  /// \p{name}: a general category ("Lu") or a group of them ("L"). Empty for any other name.
  static CodePointSet category(std::string_view name);
  static CodePointSet white_space();
  /// \w of Oniguruma 6.9.10; in brackets it is without ² ³ ¹ ¼ ½ ¾.
  static CodePointSet word(bool with_small_numbers = true);

  void add(Range range);
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  const std::vector<Range>& ranges() const { return ranges_; }  ///< ascending, apart from each other
  bool contains(uint32_t code_point) const {
    return code_point < 128 ? (ascii_[code_point >> 6] >> (code_point & 63) & 1) != 0
                            : contains_beyond_ascii(code_point);
  }

 private:
  bool contains_beyond_ascii(uint32_t code_point) const;
  void settle();
  std::vector<Range> ranges_;
  uint64_t ascii_[2] = {0, 0};
};

struct Decoded {
  uint32_t code_point;
  uint32_t bytes;
};

/// The code point at `at` of text that is UTF-8.
inline Decoded decode(const char* at) {
  const auto byte = [at](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(at[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

/// The start of the code point that ends at `end` (there is one).
inline const char* previous(const char* end) {
  do --end;
  while ((static_cast<unsigned char>(*end) & 0xc0) == 0x80);
  return end;
}

void append(std::string& text, uint32_t code_point);
std::string to_utf8(uint32_t code_point);

/// How far `text` is UTF-8: its size if all of it is.
size_t valid_utf8_prefix(std::string_view text);

/// With U+FFFD for each longest part that begins a code point and does not end it, as Rust's from_utf8_lossy.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace switchyard::unicode
