#include "tokens/unicode.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "tokens/unicode_tables.h"

namespace switchyard::unicode {
namespace {

/// White_Space of PropList.txt. It is not a union of categories: the controls among it are named one by one.
constexpr Range kWhiteSpace[] = {{0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                                 {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                 {0x205f, 0x205f}, {0x3000, 0x3000}};

/// What Oniguruma's \w has beside \p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}: Other_Alphabetic symbols, and ² ³ ¹ ¼ ½ ¾.
constexpr Range kMoreWords[] = {{0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
constexpr Range kSmallNumbers[] = {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}};

uint8_t class_of(Category category) {
  switch (kCategoryNames[static_cast<size_t>(category)][0]) {
    case 'L':
      if (category == Category::Lu || category == Category::Lt) return kUpper;
      return category == Category::Ll ? kLower : kOther;
    case 'M':
      return kMark;
    case 'N':
      return kNumber;
    case 'P':
      return kPunctuation;
    case 'S':
      return kSymbol;
    default:
      return 0;
  }
}

/// visit(range, category) in ascending order.
template <class Visit>
void for_each_run(const Visit& visit) {
  for (size_t i = 0; i < kCategoryRunsSize; ++i) {
    const uint32_t end = i + 1 < kCategoryRunsSize ? kCategoryRuns[i + 1] >> 5 : kLastCodePoint + 1;
    visit(Range{kCategoryRuns[i] >> 5, end - 1}, static_cast<Category>(kCategoryRuns[i] & 31));
  }
}

/// The length of the code point that `text` begins with, or of the longest part of it that might begin one, and whether
/// it is whole.
struct Prefix {
  size_t bytes;
  bool whole;
};
Prefix first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true};
  const size_t size = lead >= 0xc2 && lead < 0xe0   ? 2
                      : lead >= 0xe0 && lead < 0xf0 ? 3
                      : lead >= 0xf0 && lead < 0xf5 ? 4
                                                    : 0;
  if (size == 0) return {1, false};
  // Of three bytes: neither too long a form nor a surrogate; of four: not too long a form, not beyond U+10FFFF.
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size()) return {i, false};
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xbf)) return {i, false};
  }
  return {size, true};
}

/// How many of the first bytes are ASCII, at least: whole groups of eight.
size_t ascii_prefix(std::string_view text) {
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + at, 8);
    if ((eight & 0x8080808080808080u) != 0) break;
  }
  return at;
}

}  // namespace

ByteTable::ByteTable(const std::vector<uint8_t>& flat) {
  std::map<std::string, uint16_t> known;
  for (size_t block = 0; block < block_of_.size(); ++block) {
    const auto begin = flat.begin() + static_cast<ptrdiff_t>(block << kBlockBits);
    const std::string content(begin, begin + kBlockSize);
    const auto [entry, is_new] = known.emplace(content, static_cast<uint16_t>(known.size()));
    if (is_new) blocks_.insert(blocks_.end(), content.begin(), content.end());
    block_of_[block] = entry->second;
  }
}

const ByteTable& class_table() {
  static const ByteTable table([] {
    std::vector<uint8_t> flat(kLastCodePoint + 1);
    for_each_run([&](Range run, Category category) {
      std::fill(flat.begin() + run.first, flat.begin() + run.last + 1, class_of(category));
    });
    for (const Range range : kWhiteSpace)
      for (uint32_t c = range.first; c <= range.last; ++c) flat[c] |= kSpace;
    return flat;
  }());
  return table;
}

CodePointSet::CodePointSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) {
  settle();
}

CodePointSet CodePointSet::category(std::string_view name) {
  std::vector<Range> ranges;
  for_each_run([&](Range run, Category category) {
    const std::string_view full = kCategoryNames[static_cast<size_t>(category)];
    if (full == name || (name.size() == 1 && full[0] == name[0])) ranges.push_back(run);
  });
  return CodePointSet(std::move(ranges));
}

CodePointSet CodePointSet::white_space() {
  return CodePointSet(std::vector<Range>(std::begin(kWhiteSpace), std::end(kWhiteSpace)));
}

CodePointSet CodePointSet::word(bool with_small_numbers) {
  CodePointSet set(std::vector<Range>(std::begin(kMoreWords), std::end(kMoreWords)));
  if (with_small_numbers) set.add(CodePointSet(std::vector<Range>(std::begin(kSmallNumbers), std::end(kSmallNumbers))));
  for (const std::string_view name : {"L", "M", "Nd", "Nl", "Pc"}) set.add(category(name));
  return set;
}

void CodePointSet::add(Range range) {
  ranges_.push_back(range);
  settle();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  settle();
}

CodePointSet CodePointSet::complement() const {
  std::vector<Range> gaps;
  uint32_t next = 0;
  for (const Range range : ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
  return CodePointSet(std::move(gaps));
}

bool CodePointSet::contains_beyond_ascii(uint32_t code_point) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                                      [](uint32_t c, const Range& range) { return c < range.first; });
  return after != ranges_.begin() && code_point <= std::prev(after)->last;
}

/// Sorts and joins the ranges.
void CodePointSet::settle() {
  std::sort(ranges_.begin(), ranges_.end(), [](Range a, Range b) { return a.first < b.first; });
  size_t used = 0;
  for (const Range range : ranges_) {
    if (used > 0 && range.first <= ranges_[used - 1].last + 1)
      ranges_[used - 1].last = std::max(ranges_[used - 1].last, range.last);
    else
      ranges_[used++] = range;
  }
  ranges_.resize(used);
  ascii_[0] = ascii_[1] = 0;
  for (const Range range : ranges_)
    for (uint32_t c = range.first; c <= range.last && c < 128; ++c) ascii_[c >> 6] |= uint64_t{1} << (c & 63);
}

void append(std::string& text, uint32_t code_point) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) return add(code_point);
  if (code_point < 0x800) {
    add(0xc0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    add(0xe0 | code_point >> 12);
    add(0x80 | (code_point >> 6 & 0x3f));
  } else {
    add(0xf0 | code_point >> 18);
    add(0x80 | (code_point >> 12 & 0x3f));
    add(0x80 | (code_point >> 6 & 0x3f));
  }
  add(0x80 | (code_point & 0x3f));
}

std::string to_utf8(uint32_t code_point) {
  std::string text;
  append(text, code_point);
  return text;
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += ascii_prefix(text.substr(at));
    for (size_t stop = std::min(at + 8, text.size()); at < stop;) {
      const Prefix next = first_code_point(text.substr(at, 4));
      if (!next.whole) return at;
      at += next.bytes;
    }
  }
  return text.size();
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    out += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "\uFFFD";
    text.remove_prefix(first_code_point(text.substr(0, 4)).bytes);
  }
  return out;
}

}  // namespace switchyard::unicode
