// Some of a vector's elements, by bits: between their places in it and a list of them alone.
#pragma once

#include <bit>
#include <cstdint>

namespace switchyard {

/// A vector's elements, by bits: element i's is bit first + i of `words`, the lowest first.
struct ElementBits {
  static constexpr int64_t kCounted = 512;  ///< bits that are counted together
  const uint64_t* words = nullptr;          ///< null: all of them
  int64_t first = 0;
  const int64_t* counts = nullptr;  ///< bits set before every kCounted of them; null: nobody asks for before()

  /// Bits set before element i's, the vector's first one's too.
  int64_t before(int64_t i) const {
    const int64_t bit = first + i;
    int64_t count = counts[bit / kCounted];
    for (int64_t word = bit / kCounted * (kCounted / 64); word < bit / 64; ++word) count += std::popcount(words[word]);
    return bit % 64 == 0 ? count : count + std::popcount(words[bit / 64] << (64 - bit % 64));
  }

  /// Whether any of elements [begin, begin + count) is among them; count ≤ 64.
  bool has_any(int64_t begin, int64_t count) const {
    if (words == nullptr) return true;
    const int64_t bit = first + begin, shift = bit % 64;
    uint64_t bits = words[bit / 64] >> shift;
    if (shift + count > 64) bits |= words[bit / 64 + 1] << (64 - shift);
    return (count < 64 ? bits & ((uint64_t{1} << count) - 1) : bits) != 0;
  }
  /// visit(i) for those of elements [begin, begin + count), in order; words: not null.
  template <class Visit>
  void for_each(int64_t begin, int64_t count, const Visit& visit) const {
    const int64_t end = first + begin + count;
    for (int64_t bit = first + begin; bit < end;) {
      uint64_t bits = words[bit / 64] >> (bit % 64);
      const int64_t in_word = 64 - bit % 64, left = end - bit;
      if (left < in_word) bits &= (uint64_t{1} << left) - 1;
      for (; bits != 0; bits &= bits - 1) visit(bit + std::countr_zero(bits) - first);
      bit += in_word;
    }
  }
};

namespace cpu {

/// to[j] = from[i], of the elements i < count whose bit first_bit + i of `words` is set (lowest first) the j-th.
/// Returns how many these are; `to` has room for them.
int64_t gather_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to);
/// And back: to[i] = from[j]; other elements stay.
int64_t scatter_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to);

}  // namespace cpu
}  // namespace switchyard
