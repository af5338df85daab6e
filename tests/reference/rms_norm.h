#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/bounded.h"

namespace switchyard::reference {

/// The sum of squares has no cancellation: every result is within a few ε and n ε of its own size.
template <class T>
std::vector<Bounded> rms_norm(const T& x, const T& weight, int64_t rows, int64_t dim, double eps) {
  std::vector<Bounded> y;
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t i = 0; i < dim; ++i) squares += x.at(r * dim + i) * x.at(r * dim + i);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(dim) + eps);
    for (int64_t i = 0; i < dim; ++i) {
      const double value = x.at(r * dim + i) * scale * weight.at(i);
      y.push_back({value, static_cast<double>(dim + 8) * kEpsilon * std::abs(value)});
    }
  }
  return y;
}

}  // namespace switchyard::reference
