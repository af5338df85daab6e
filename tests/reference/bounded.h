// What an oracle returns: the value in double precision, and how far f32 arithmetic in any order may be from it.
#pragma once

#include <cmath>
#include <vector>

namespace switchyard::reference {

struct Bounded {
  double value;
  double bound;
};

inline std::vector<Bounded> exactly(const std::vector<double>& values) {
  std::vector<Bounded> result;
  for (const double v : values) result.push_back({v, 0});
  return result;
}

inline constexpr double kEpsilon = 0x1p-24;  // of f32

inline Bounded times(Bounded a, Bounded b) {
  const double value = a.value * b.value;
  const double inherited = std::abs(a.value) * b.bound + a.bound * std::abs(b.value) + a.bound * b.bound;
  return {value, inherited + kEpsilon * (std::abs(value) + inherited)};
}

/// A value stored in fewer bits; epsilon: half a unit in the last place, relative. One near a rounding boundary may go
/// either way, hence a bound and no rounded value.
inline Bounded rounded(Bounded a, double epsilon) {
  return {a.value, a.bound + epsilon * (std::abs(a.value) + a.bound)};
}

}  // namespace switchyard::reference
