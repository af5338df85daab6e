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

/// The gradient dx of Σ dy ⊙ rms_norm(x), and the terms of dweight, [rows, dim] both.
struct RmsNormGradients {
  std::vector<Bounded> dx, dweight;
};
template <class T>
RmsNormGradients rms_norm_gradients(const T& x, const T& weight, const T& dy, int64_t rows, int64_t dim, double eps) {
  RmsNormGradients gradients;
  const double error = static_cast<double>(2 * dim + 16) * kEpsilon;
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0, along = 0, magnitude = 0;
    for (int64_t i = 0; i < dim; ++i) {
      const double g = dy.at(r * dim + i) * weight.at(i);
      squares += x.at(r * dim + i) * x.at(r * dim + i);
      along += g * x.at(r * dim + i);
      magnitude += std::abs(g * x.at(r * dim + i));
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(dim) + eps);
    const double shrink = scale * scale / static_cast<double>(dim);
    for (int64_t i = 0; i < dim; ++i) {
      const double xi = x.at(r * dim + i), g = dy.at(r * dim + i) * weight.at(i);
      gradients.dx.push_back(
          {scale * (g - xi * shrink * along), error * scale * (std::abs(g) + std::abs(xi) * shrink * magnitude)});
      const double term = dy.at(r * dim + i) * xi * scale;
      gradients.dweight.push_back({term, error * std::abs(term)});
    }
  }
  return gradients;
}

}  // namespace switchyard::reference
