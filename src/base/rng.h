// A counter-based generator: value i of a stream is a function of (seed, i) alone, whoever asks, in any order.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace switchyard {

/// SplitMix64's output function (Steele, Lea, Flood 2014) over seed + i · golden ratio.
constexpr uint64_t random_bits(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// Uniform in [0, 1), 24 bits: exact in f32.
constexpr float random_uniform(uint64_t seed, uint64_t i) {
  return static_cast<float>(random_bits(seed, i) >> 40) * 0x1p-24f;
}

/// Standard normal (Box-Muller).
inline float random_normal(uint64_t seed, uint64_t i) {
  const double u = (static_cast<double>(random_bits(seed, 2 * i) >> 11) + 0.5) * 0x1p-53;
  const double v = static_cast<double>(random_bits(seed, 2 * i + 1) >> 11) * 0x1p-53;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

}  // namespace switchyard
