// Sixteen f32 lanes, for functions compiled for AVX-512: operation by operation what vector_math.h does with eight, so
// that the width of a register does not matter to the bits.
#pragma once

#include "kernels/cpu/vector_math.h"

#define SWITCHYARD_AVX512 [[gnu::target("avx512f")]]

namespace switchyard {

using F32x16 = float __attribute__((vector_size(64)));
using I32x16 = int32_t __attribute__((vector_size(64)));
using U32x16 = uint32_t __attribute__((vector_size(64)));

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 broadcast_16(float x) {
  return _mm512_set1_ps(x);
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 exp_within_limits(F32x16 x) {
  const F32x16 below = x > kMaxExponent ? broadcast_16(kMaxExponent) : x;
  const F32x16 clamped = below < kMinExponent ? broadcast_16(kMinExponent) : below;
  const F32x16 shifted = _mm512_fmadd_ps(clamped, broadcast_16(kLog2E), broadcast_16(kRoundingMagic));
  const F32x16 n = shifted - kRoundingMagic;
  const F32x16 r = _mm512_fmadd_ps(n, broadcast_16(-kLn2Low), _mm512_fmadd_ps(n, broadcast_16(-kLn2High), clamped));
  F32x16 p = broadcast_16(kExpPolynomial[0]);
  for (int i = 1; i < 6; ++i) p = _mm512_fmadd_ps(p, r, broadcast_16(kExpPolynomial[i]));
  p = _mm512_fmadd_ps(p, r * r, r + 1.0f);
  return p * reinterpret_cast<F32x16>((reinterpret_cast<I32x16>(shifted) + 127) << 23);
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 exp(F32x16 x) {
  return x < kMinExponent ? broadcast_16(0) : exp_within_limits(x);
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 swiglu_of(F32x16 gate, F32x16 up) {
  return gate / (exp_within_limits(-gate) + 1.0f) * up;
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline SwigluAndDerivatives<F32x16> swiglu_and_derivatives(F32x16 gate,
                                                                                                    F32x16 up) {
  const F32x16 power = exp_within_limits(-gate), divisor = power + 1.0f, silu = gate / divisor;
  return {silu * up, (silu * power + 1.0f) / divisor * up, silu};
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 clamped_swiglu_of(F32x16 gate, F32x16 up, float alpha,
                                                                         float limit) {
  const F32x16 g = gate > limit ? broadcast_16(limit) : gate, below = up > limit ? broadcast_16(limit) : up;
  const F32x16 u = below < -limit ? broadcast_16(-limit) : below;
  return g / (exp_within_limits(g * -alpha) + 1.0f) * (u + 1.0f);
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline SwigluAndDerivatives<F32x16> clamped_swiglu_and_derivatives(
    F32x16 gate, F32x16 up, float alpha, float limit) {
  const F32x16 g = gate > limit ? broadcast_16(limit) : gate, below = up > limit ? broadcast_16(limit) : up;
  const F32x16 u = (below < -limit ? broadcast_16(-limit) : below) + 1.0f;
  const F32x16 power = exp_within_limits(g * -alpha), divisor = power + 1.0f, glu = g / divisor;
  const F32x16 by_gate = (glu * power * alpha + 1.0f) / divisor * u;
  const auto beyond = (up > limit) | (up < -limit);
  return {glu * u, gate > limit ? broadcast_16(0) : by_gate, beyond ? broadcast_16(0) : glu};
}

/// The first `count` of sixteen lanes, all where there are more.
inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count < 16 ? (1 << count) - 1 : 0xffff);
}

SWITCHYARD_AVX512 [[gnu::always_inline]] inline F32x16 load_lanes(const float* p, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, p);
}
SWITCHYARD_AVX512 [[gnu::always_inline]] inline void store_lanes(float* p, F32x16 v, __mmask16 lanes) {
  _mm512_mask_storeu_ps(p, lanes, v);
}
SWITCHYARD_AVX512 [[gnu::always_inline]] inline void store_lanes(BFloat16* p, F32x16 v, __mmask16 lanes) {
  const auto u = reinterpret_cast<U32x16>(v);
  const U32x16 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet_nan = (u >> 16) | 0x40u;
  _mm512_mask_cvtepi32_storeu_epi16(p, lanes, reinterpret_cast<__m512i>(v == v ? rounded : quiet_nan));
}

}  // namespace switchyard
