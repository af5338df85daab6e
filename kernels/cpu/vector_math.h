// Eight f32 lanes: the few operations the hand-written kernels share.
//
// The whole program is compiled with -ffp-contract=off, so that what is written is what is computed, whatever the
// compiler version: a fused multiply-add happens where fma() stands and nowhere else. Sums over lanes have one fixed
// order. So every kernel's bits follow from its source.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/dtype.h"

namespace switchyard {

using F32x8 = float __attribute__((vector_size(32)));
using I32x8 = int32_t __attribute__((vector_size(32)));
using U32x8 = uint32_t __attribute__((vector_size(32)));
using U16x8 = uint16_t __attribute__((vector_size(16)));

inline constexpr int64_t kLanes = 8;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline F32x8 broadcast(float x) {
  return F32x8{x, x, x, x, x, x, x, x};
}

inline F32x8 load(const float* p) {
  F32x8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline F32x8 load(const BFloat16* p) {
  U16x8 bits;
  std::memcpy(&bits, p, sizeof bits);
  return std::bit_cast<F32x8>(__builtin_convertvector(bits, U32x8) << 16);
}

inline void store(float* p, F32x8 v) {
  std::memcpy(p, &v, sizeof v);
}

/// Rounds as to_bfloat16() does; the upper halves are zero.
inline U32x8 bfloat16_bits(F32x8 v) {
  const auto u = std::bit_cast<U32x8>(v);
  const U32x8 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const U32x8 quiet_nan = (u >> 16) | 0x40u;
  return v == v ? rounded : quiet_nan;
}

inline void store(BFloat16* p, F32x8 v) {
  const U16x8 bits = __builtin_convertvector(bfloat16_bits(v), U16x8);
  std::memcpy(p, &bits, sizeof bits);
}

/// One of a, one of b, and so on, as bf16.
inline U32x8 bfloat16_pairs(F32x8 a, F32x8 b) {
  return bfloat16_bits(a) | bfloat16_bits(b) << 16;
}

/// The first `count` < 8 elements, the other lanes `fill`.
template <class T>
F32x8 load_part(const T* p, int64_t count, float fill = 0) {
  F32x8 v = broadcast(fill);
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, float>)
      v[i] = p[i];
    else
      v[i] = to_float(p[i]);
  }
  return v;
}

template <class T>
void store_part(T* p, F32x8 v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, float>)
      p[i] = v[i];
    else
      p[i] = to_bfloat16(v[i]);
  }
}

/// body(i, load, store) for every eight elements of [0, count), the last ones with partial loads and stores.
template <class Body>
[[gnu::always_inline]] inline void for_lanes(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    body(
        i, [](const auto* p) { return load(p); }, [](auto* p, F32x8 v) { store(p, v); });
  if (const int64_t rest = count - i; rest > 0)
    body(
        i, [rest](const auto* p) { return load_part(p, rest); }, [rest](auto* p, F32x8 v) { store_part(p, v, rest); });
}

/// y[i] += x[i], i < count.
inline void add_to(float* y, const float* x, int64_t count) {
  for_lanes(count, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) + read(x + i)); });
}

/// a · b + c, rounded once.
inline F32x8 fma(F32x8 a, F32x8 b, F32x8 c) {
  return _mm256_fmadd_ps(a, b, c);
}

/// Lane by lane; b where either is NaN.
inline F32x8 max(F32x8 a, F32x8 b) {
  return _mm256_max_ps(a, b);
}
/// The same for the smaller.
inline F32x8 min(F32x8 a, F32x8 b) {
  return _mm256_min_ps(a, b);
}

/// to[j · to_stride + i] = from[i · from_stride + j], i and j from 0 to 7.
[[gnu::always_inline]] inline void transpose_8x8(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  F32x8 pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    const F32x8 a = load(from + i * from_stride), b = load(from + (i + 1) * from_stride);
    pairs[i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int half = 0; half < 2; ++half) {
      const F32x8 a = pairs[i + half], b = pairs[i + half + 2];
      fours[i + 2 * half] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i + 2 * half + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int j = 0; j < 4; ++j) {
    store(to + j * to_stride, __builtin_shufflevector(fours[j], fours[j + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store(to + (j + 4) * to_stride, __builtin_shufflevector(fours[j], fours[j + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

/// Whether this CPU has registers of sixteen lanes.
inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") != 0;
}

/// ((v₀ + v₄) + (v₂ + v₆)) + ((v₁ + v₅) + (v₃ + v₇))
inline float sum_of_lanes(F32x8 v) {
  const F32x8 four = v + __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  const F32x8 two = four + __builtin_shufflevector(four, four, 2, 3, 0, 1, 6, 7, 4, 5);
  return two[0] + two[1];
}

/// Σ a[i] b[i], i < count: eight chains of fused multiply-adds, i mod 8.
inline float dot(const float* a, const float* b, int64_t count) {
  F32x8 sum = broadcast(0);
  for_lanes(count, [&](int64_t i, auto read, auto) { sum = fma(read(a + i), read(b + i), sum); });
  return sum_of_lanes(sum);
}

inline float max_of_lanes(F32x8 v) {
  const F32x8 four = max(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
  const F32x8 two = max(four, __builtin_shufflevector(four, four, 2, 3, 0, 1, 6, 7, 4, 5));
  return max(two, __builtin_shufflevector(two, two, 1, 0, 3, 2, 5, 4, 7, 6))[0];
}

/// The largest of some numbers; NaN is passed over.
inline float max_of(const float* x, int64_t count) {
  F32x8 lanes = broadcast(-kInfinity);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) lanes = max(load(x + i), lanes);
  return max_of_lanes(max(load_part(x + i, count - i, -kInfinity), lanes));
}

/// Of exp(): its limits, and the parts of its formula.
inline constexpr float kMinExponent = -87.33654f, kMaxExponent = 88.37626f;  // normal results, and finite ones
inline constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
inline constexpr float kRoundingMagic = 0x1.8p23f;  // adding it rounds to an integer, left in the low bits
inline constexpr float kExpPolynomial[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                           4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

/// e^x to about 1e-7 relative (Cephes: x = n ln 2 + r, a polynomial of degree 6 in r), x taken as −87.3 or 88.3 beyond
/// them: never subnormal, never infinite. NaN stays NaN.
inline F32x8 exp_within_limits(F32x8 x) {
  const F32x8 clamped = max(broadcast(kMinExponent), min(broadcast(kMaxExponent), x));
  const F32x8 shifted = fma(clamped, broadcast(kLog2E), broadcast(kRoundingMagic));
  const F32x8 n = shifted - kRoundingMagic;
  const F32x8 r = fma(n, broadcast(-kLn2Low), fma(n, broadcast(-kLn2High), clamped));
  F32x8 p = broadcast(kExpPolynomial[0]);
  for (int i = 1; i < 6; ++i) p = fma(p, r, broadcast(kExpPolynomial[i]));
  p = fma(p, r * r, r + 1.0f);
  const auto power = std::bit_cast<F32x8>((std::bit_cast<I32x8>(shifted) + 127) << 23);
  return p * power;
}

/// e^x, 0 below −87.3, where it would be subnormal; at most 2.4e38. NaN stays NaN.
inline F32x8 exp(F32x8 x) {
  return x < broadcast(kMinExponent) ? broadcast(0) : exp_within_limits(x);
}

/// The same function of one number, with the same bits.
inline float exp_f32(float x) {
  return exp(broadcast(x))[0];
}

/// 1 / (1 + e^(−x)), to about 2e-7 relative for either sign; 0 below −87.3. NaN stays NaN.
inline F32x8 sigmoid(F32x8 x) {
  const F32x8 small = exp(x < broadcast(0) ? x : -x);
  return (x < broadcast(0) ? small : broadcast(1)) / (small + 1.0f);
}

/// σ (1 − σ)
inline F32x8 sigmoid_slope(F32x8 x) {
  const F32x8 small = exp(x < broadcast(0) ? x : -x), divisor = small + 1.0f;
  return small / (divisor * divisor);
}

/// sigmoid() of one number, with the same bits.
inline float sigmoid_f32(float x) {
  return sigmoid(broadcast(x))[0];
}

/// silu(gate) · up, silu(x) = x / (1 + e^(−x)).
inline F32x8 swiglu_of(F32x8 gate, F32x8 up) {
  return gate / (exp_within_limits(-gate) + 1.0f) * up;
}

/// A product of silu(gate) and up, and its derivatives by gate and by up.
template <class V>
struct SwigluAndDerivatives {
  V value, by_gate, by_up;
};

/// The value has swiglu_of()'s bits. by_gate = up · σ · (1 + gate · (1 − σ)), σ = 1 / (1 + e^(−gate)).
inline SwigluAndDerivatives<F32x8> swiglu_and_derivatives(F32x8 gate, F32x8 up) {
  const F32x8 power = exp_within_limits(-gate), divisor = power + 1.0f, silu = gate / divisor;
  return {silu * up, (silu * power + 1.0f) / divisor * up, silu};
}

/// (u + 1) · g / (1 + e^(−alpha · g)), g = min(gate, limit), u = up, held within ±limit. NaN stays NaN.
inline F32x8 clamped_swiglu_of(F32x8 gate, F32x8 up, float alpha, float limit) {
  const F32x8 g = min(broadcast(limit), gate), u = max(broadcast(-limit), min(broadcast(limit), up));
  return g / (exp_within_limits(g * -alpha) + 1.0f) * (u + 1.0f);
}

/// The value has clamped_swiglu_of()'s bits. With σ = 1 / (1 + e^(−alpha · g)): by_gate = (u + 1) · σ · (1 + alpha · g
/// · (1 − σ)), by_up = g · σ; 0 beyond the limits (not at them).
inline SwigluAndDerivatives<F32x8> clamped_swiglu_and_derivatives(F32x8 gate, F32x8 up, float alpha, float limit) {
  const F32x8 g = min(broadcast(limit), gate), u = max(broadcast(-limit), min(broadcast(limit), up)) + 1.0f;
  const F32x8 power = exp_within_limits(g * -alpha), divisor = power + 1.0f, glu = g / divisor;
  const F32x8 by_gate = (glu * power * alpha + 1.0f) / divisor * u;
  const auto beyond = (up > limit) | (up < -limit);
  return {glu * u, gate > limit ? broadcast(0) : by_gate, beyond ? broadcast(0) : glu};
}

}  // namespace switchyard
