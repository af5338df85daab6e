#include "tokens/nfc.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "tokens/unicode.h"
#include "tokens/unicode_tables.h"

namespace switchyard::unicode {
namespace {

// Hangul syllables are composed by arithmetic (The Unicode Standard, 3.12).
constexpr uint32_t kFirstSyllable = 0xac00, kFirstL = 0x1100, kFirstV = 0x1161, kBeforeT = 0x11a7;
constexpr uint32_t kNumL = 19, kNumV = 21, kNumT = 28, kNumSyllables = kNumL * kNumV * kNumT;

/// No code point below this one is a mark, composes with what precedes it, or has another form C than itself; its UTF-8
/// begins with a byte that no such code point has.
constexpr uint32_t kFirstOfInterest = 0x300;
constexpr unsigned char kFirstByteOfInterest = 0xcc;

struct Mark {
  uint32_t code_point;
  uint8_t combining_class;
};

class Composition {
 public:
  static const Composition& get() {
    static const Composition composition;
    return composition;
  }

  /// Whether it can be anything but a character that begins a segment of its own: a mark, one that composes with what
  /// precedes it, one that form C replaces.
  bool is_of_interest(uint32_t c) const { return c >= kFirstOfInterest && interest_[c] != 0; }

  void decompose(uint32_t c, std::vector<Mark>& out) const {
    if (c - kFirstSyllable < kNumSyllables) {
      const uint32_t index = c - kFirstSyllable;
      out.push_back({kFirstL + index / (kNumV * kNumT), 0});
      out.push_back({kFirstV + index % (kNumV * kNumT) / kNumT, 0});
      if (index % kNumT != 0) out.push_back({kBeforeT + index % kNumT, 0});
      return;
    }
    const auto parts = parts_.find(c);
    if (parts == parts_.end()) return out.push_back({c, combining_class_[c]});
    decompose(parts->second.first, out);
    if (parts->second.second != 0) decompose(parts->second.second, out);
  }

  /// 0: these two have no composed form.
  uint32_t compose(uint32_t first, uint32_t second) const {
    if (first - kFirstL < kNumL && second - kFirstV < kNumV)
      return kFirstSyllable + ((first - kFirstL) * kNumV + second - kFirstV) * kNumT;
    const uint32_t index = first - kFirstSyllable;
    if (index < kNumSyllables && index % kNumT == 0 && second > kBeforeT && second < kBeforeT + kNumT)
      return first + second - kBeforeT;
    const auto composed = composed_.find(uint64_t{first} << 32 | second);
    return composed == composed_.end() ? 0 : composed->second;
  }

 private:
  Composition() : combining_class_(combining_classes()), interest_(std::vector<uint8_t>(kLastCodePoint + 1)) {
    std::vector<uint8_t> interest = combining_classes();
    std::fill_n(interest.begin() + kFirstV, kNumV, uint8_t{1});
    std::fill_n(interest.begin() + kBeforeT + 1, kNumT - 1, uint8_t{1});
    for (size_t i = 0; i < kDecompositionsSize; ++i) {
      const uint64_t entry = kDecompositions[i];
      const auto part = [&](int shift) { return static_cast<uint32_t>(entry >> shift & 0x1fffff); };
      parts_[part(42)] = {part(21), part(0)};
      if (entry >> 63 == 0) {
        interest[part(42)] = 1;
      } else {
        composed_[uint64_t{part(21)} << 32 | part(0)] = part(42);
        interest[part(0)] = 1;
      }
    }
    interest_ = ByteTable(interest);
  }

  static std::vector<uint8_t> combining_classes() {
    std::vector<uint8_t> flat(kLastCodePoint + 1);
    for (size_t i = 0; i < kCombiningRunsSize; ++i)
      std::fill(flat.begin() + (kCombiningRuns[i] >> 8), flat.end(), static_cast<uint8_t>(kCombiningRuns[i]));
    return flat;
  }

  ByteTable combining_class_, interest_;
  std::unordered_map<uint32_t, std::pair<uint32_t, uint32_t>> parts_;
  std::unordered_map<uint64_t, uint32_t> composed_;
};

/// The next code point of interest at or after `at`; `end` if there is none.
const char* find_interest(const Composition& composition, const char* at, const char* end) {
  while (at < end) {
    if (static_cast<unsigned char>(*at) < kFirstByteOfInterest) {
      ++at;
      continue;
    }
    const Decoded next = decode(at);
    if (composition.is_of_interest(next.code_point)) return at;
    at += next.bytes;
  }
  return end;
}

/// Marks by their classes between characters of class 0; equal ones stay in order.
void order_marks(std::vector<Mark>& text) {
  for (auto at = text.begin(); at != text.end();) {
    const auto is_starter = [](const Mark& m) { return m.combining_class == 0; };
    const auto marks_end = std::find_if(at, text.end(), is_starter);
    std::stable_sort(at, marks_end, [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    at = std::find_if_not(marks_end, text.end(), is_starter);
  }
}

/// Composes each character with the last one of class 0, unless one between them blocks it (UAX 15, D115 to D117).
void append_composed(const Composition& composition, const std::vector<Mark>& text, std::vector<Mark>& out) {
  out.clear();
  constexpr size_t kNone = ~size_t{0};
  size_t starter = kNone;
  for (const Mark& next : text) {
    if (starter != kNone) {
      const bool adjacent = starter + 1 == out.size();
      if (adjacent || out.back().combining_class < next.combining_class) {
        const uint32_t composed = composition.compose(out[starter].code_point, next.code_point);
        if (composed != 0) {
          out[starter].code_point = composed;
          continue;
        }
      }
    }
    if (next.combining_class == 0) starter = out.size();
    out.push_back(next);
  }
}

}  // namespace

std::string_view to_nfc(std::string_view text, std::string& buffer) {
  const Composition& composition = Composition::get();
  const char* const end = text.data() + text.size();
  const char* copied = text.data();
  const char* at = find_interest(composition, copied, end);
  if (at == end) return text;
  buffer.clear();
  std::vector<Mark> decomposed, composed;
  while (at < end) {
    // A segment: the character before, which may compose with what follows, and all of interest in a row.
    const char* const segment = at > copied ? previous(at) : at;
    buffer.append(copied, segment);
    decomposed.clear();
    const char* next = segment;
    do {
      const Decoded c = decode(next);
      composition.decompose(c.code_point, decomposed);
      next += c.bytes;
    } while (next < end && (next <= at || composition.is_of_interest(decode(next).code_point)));
    order_marks(decomposed);
    append_composed(composition, decomposed, composed);
    for (const Mark& c : composed) append(buffer, c.code_point);
    copied = next;
    at = find_interest(composition, next, end);
  }
  buffer.append(copied, end);
  return buffer;
}

}  // namespace switchyard::unicode
