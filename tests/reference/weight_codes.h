// What codes of eight and four bits mean, from their definition: OCP 8-bit Floating Point (E4M3), OCP Microscaling
// Formats (E2M1).
#pragma once

#include <cmath>
#include <limits>

namespace switchyard::reference {

/// Sign, four bits of exponent with bias 7, three of mantissa; no infinities.
inline double e4m3(int code) {
  const int exponent = (code >> 3) & 15, mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (code & 0x80) != 0 ? -size : size;
}

/// Sign, two bits of exponent with bias 1, one of mantissa.
inline double e2m1(int code) {
  const int exponent = (code >> 1) & 3, mantissa = code & 1;
  const double size = exponent == 0 ? mantissa * 0.5 : std::ldexp(2 + mantissa, exponent - 2);
  return (code & 8) != 0 ? -size : size;
}

/// Rounded once, for so few bits make an exact product in double.
inline float scaled(double value, float scale) {
  return static_cast<float>(value * static_cast<double>(scale));
}

}  // namespace switchyard::reference
