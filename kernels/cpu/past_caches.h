// Internal to kernels/: results that no cache holds until somebody reads them. Written past the caches they cost half
// the traffic, for their lines need not be fetched first.
#pragma once

#include <bit>

#include "base/tensor.h"
#include "kernels/cpu/vector_math.h"

namespace switchyard {

/// Of an op's results, all together.
inline constexpr size_t kCachedBytes = size_t{8} << 20;

/// Whether y's rows are whole lines.
inline bool in_whole_lines(ConstView y) {
  return std::bit_cast<uintptr_t>(y.data) % 64 == 0 &&
         static_cast<size_t>(y.row_elements()) * size_of(y.dtype) % 64 == 0;
}

/// Whether y, with so many bytes of results beside it, is larger, and its rows are whole lines.
inline bool goes_past_caches(ConstView y, size_t beside = 0) {
  return y.bytes() + beside > kCachedBytes && in_whole_lines(y);
}

/// To an address of whole lanes.
inline void store_past_caches(float* p, F32x8 v) {
  _mm256_stream_ps(p, v);
}
inline void store_past_caches(BFloat16* p, F32x8 v) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(p),
                   std::bit_cast<__m128i>(__builtin_convertvector(bfloat16_bits(v), U16x8)));
}

/// for_lanes() of whole lines, whose writes go past the caches. A task ends with _mm_sfence() after it.
template <class Body>
[[gnu::always_inline]] inline void for_lanes_past_caches(int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; i += kLanes)
    body(
        i, [](const auto* p) { return load(p); }, [](auto* p, F32x8 v) { store_past_caches(p, v); });
}

}  // namespace switchyard
