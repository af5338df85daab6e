#include "kernels/rows/members.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu/vector_math_16.h"

namespace switchyard::cpu {
namespace {

constexpr int64_t kTogether = 16;

/// Bits [first, first + count), 1 ≤ count ≤ 64; no word without any of them is read.
uint64_t bits_from(const uint64_t* words, int64_t first, int64_t count) {
  const uint64_t* word = words + first / 64;
  const int64_t shift = first % 64;
  uint64_t bits = *word >> shift;
  if (shift + count > 64) bits |= word[1] << (64 - shift);
  return bits & (~uint64_t{0} >> (64 - count));
}

/// move(i, bits, member): of elements from i on, of which the first is the member-th; returns how many there were.
template <class Move>
int64_t for_members(const uint64_t* words, int64_t first_bit, int64_t count, const Move& move) {
  int64_t members = 0;
  for (int64_t i = 0; i < count; i += kTogether) {
    const auto bits = static_cast<uint32_t>(bits_from(words, first_bit + i, std::min(kTogether, count - i)));
    if (bits == 0) continue;
    move(i, bits, members);
    members += std::popcount(bits);
  }
  return members;
}

// Registers are compressed and expanded, not memory: that is slow on some CPUs. Nothing beyond a list's end is touched.
// Of 64 elements some or none are members; which of them a jump could not foretell.
SWITCHYARD_AVX512 int64_t gather_avx512(const uint64_t* words, int64_t first_bit, const float* from, int64_t count,
                                        float* to) {
  int64_t members = 0;
  for (int64_t i = 0; i < count; i += 64) {
    uint64_t bits = bits_from(words, first_bit + i, std::min<int64_t>(64, count - i));
    for (const float* next = from + i; bits != 0; bits >>= kTogether, next += kTogether) {
      const int found = std::popcount(static_cast<uint16_t>(bits));
      const auto mask = static_cast<__mmask16>(bits), listed = static_cast<__mmask16>((1u << found) - 1);
      _mm512_mask_storeu_ps(to + members, listed, _mm512_maskz_compress_ps(mask, _mm512_maskz_loadu_ps(mask, next)));
      members += found;
    }
  }
  return members;
}

SWITCHYARD_AVX512 int64_t scatter_avx512(const uint64_t* words, int64_t first_bit, const float* from, int64_t count,
                                         float* to) {
  int64_t members = 0;
  for (int64_t i = 0; i < count; i += kTogether) {
    const auto bits = static_cast<uint32_t>(bits_from(words, first_bit + i, std::min(kTogether, count - i)));
    if (bits == 0) continue;
    const int found = std::popcount(bits);
    const auto mask = static_cast<__mmask16>(bits), listed = static_cast<__mmask16>((1u << found) - 1);
    _mm512_mask_storeu_ps(to + i, mask, _mm512_maskz_expand_ps(mask, _mm512_maskz_loadu_ps(listed, from + members)));
    members += found;
  }
  return members;
}

}  // namespace

int64_t gather_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to) {
  if (has_avx512()) return gather_avx512(words, first_bit, from, count, to);
  return for_members(words, first_bit, count, [&](int64_t i, uint32_t bits, int64_t member) {
    for (; bits != 0; bits &= bits - 1) to[member++] = from[i + std::countr_zero(bits)];
  });
}

int64_t scatter_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to) {
  if (has_avx512()) return scatter_avx512(words, first_bit, from, count, to);
  return for_members(words, first_bit, count, [&](int64_t i, uint32_t bits, int64_t member) {
    for (; bits != 0; bits &= bits - 1) to[i + std::countr_zero(bits)] = from[member++];
  });
}

}  // namespace switchyard::cpu
