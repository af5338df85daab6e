#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/bounded.h"

namespace switchyard::reference {

/// Σ x_i w_i; the bound is Higham's γ_k = k ε for any order of summation, on Σ |x_i w_i|, plus the inputs' own bounds.
template <class X, class W>
Bounded dot(const X& x, const W& w, int64_t k) {
  double value = 0, magnitude = 0, inherited = 0;
  for (int64_t i = 0; i < k; ++i) {
    const Bounded xi = x(i);
    value += xi.value * w(i);
    magnitude += std::abs(xi.value * w(i));
    inherited += xi.bound * std::abs(w(i));
  }
  return {value, static_cast<double>(k + 1) * kEpsilon * (magnitude + inherited) + inherited};
}

/// y [rows, n] = x [rows, k] · wᵀ, w [n, k]
template <class X, class W>
std::vector<Bounded> linear(const X& x, const W& w, int64_t rows, int64_t n, int64_t k) {
  std::vector<Bounded> y;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j)
      y.push_back(dot(
          [&](int64_t i) {
            return Bounded{x.at(r * k + i), 0};
          },
          [&](int64_t i) { return w.at(j * k + i); }, k));
  return y;
}

}  // namespace switchyard::reference
