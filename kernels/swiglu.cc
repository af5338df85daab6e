#include "kernels/swiglu.h"

#include <type_traits>

// A row is rounded in a pass of its own, where gate stood: in one pass the chain of dependent operations would be too
// long for the core.

namespace switchyard {

template <class T>
void swiglu_rows_avx2(float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride) {
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(h + i, swiglu_of(read(h + i), read(h + f + i))); });
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(y + i, read(h + i)); });
  }
}

namespace {

#pragma GCC push_options
#pragma GCC target("avx512f")

using F32x16 = float __attribute__((vector_size(64)));
using I32x16 = int32_t __attribute__((vector_size(64)));
using U32x16 = uint32_t __attribute__((vector_size(64)));

[[gnu::always_inline]] inline F32x16 broadcast_16(float x) {
  return _mm512_set1_ps(x);
}

// swiglu_of() of sixteen lanes, operation by operation.
[[gnu::always_inline]] inline F32x16 swiglu_of_16(F32x16 gate, F32x16 up) {
  F32x16 x = -gate > kMaxExponent ? broadcast_16(kMaxExponent) : -gate;
  x = x < kMinExponent ? broadcast_16(kMinExponent) : x;
  const F32x16 shifted = _mm512_fmadd_ps(x, broadcast_16(kLog2E), broadcast_16(kRoundingMagic));
  const F32x16 n = shifted - kRoundingMagic;
  const F32x16 r = _mm512_fmadd_ps(n, broadcast_16(-kLn2Low), _mm512_fmadd_ps(n, broadcast_16(-kLn2High), x));
  F32x16 p = broadcast_16(kExpPolynomial[0]);
  for (int i = 1; i < 6; ++i) p = _mm512_fmadd_ps(p, r, broadcast_16(kExpPolynomial[i]));
  p = _mm512_fmadd_ps(p, r * r, r + 1.0f);
  const auto power = reinterpret_cast<F32x16>((reinterpret_cast<I32x16>(shifted) + 127) << 23);
  return gate / (p * power + 1.0f) * up;
}

// As store(BFloat16*, F32x8) rounds.
[[gnu::always_inline]] inline __m512i rounded_16(F32x16 v) {
  const auto u = reinterpret_cast<U32x16>(v);
  const U32x16 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet_nan = (u >> 16) | 0x40u;
  return reinterpret_cast<__m512i>(v == v ? rounded : quiet_nan);
}

#pragma GCC pop_options

}  // namespace

template <class T>
__attribute__((target("avx512f"))) void swiglu_rows_avx512(float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  constexpr int64_t kWidth = 16;
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride)
    for (const bool rounding : {false, true})
      for (int64_t i = 0; i < f; i += kWidth) {
        const auto lanes = static_cast<__mmask16>(f - i < kWidth ? (1 << (f - i)) - 1 : 0xffff);
        const F32x16 v = _mm512_maskz_loadu_ps(lanes, h + i);
        if (!rounding)
          _mm512_mask_storeu_ps(h + i, lanes, swiglu_of_16(v, _mm512_maskz_loadu_ps(lanes, h + f + i)));
        else if constexpr (std::is_same_v<T, float>)
          _mm512_mask_storeu_ps(y + i, lanes, v);
        else
          _mm512_mask_cvtepi32_storeu_epi16(y + i, lanes, rounded_16(v));
      }
}

template void swiglu_rows_avx2(float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx2(float*, int64_t, int64_t, BFloat16*, int64_t);
template void swiglu_rows_avx512(float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx512(float*, int64_t, int64_t, BFloat16*, int64_t);

}  // namespace switchyard
