// What an oracle returns: the value in double precision, and how far f32 arithmetic in any order may be from it.
#pragma once

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

}  // namespace switchyard::reference
