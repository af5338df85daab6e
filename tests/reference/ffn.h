#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/linear.h"
#include "reference/swiglu.h"

namespace switchyard::reference {

/// One row through down(swiglu(gate_up(x))). gate_up: [2f, d], down: [d, f]; `activation_epsilon`: of the rounding of
/// the activations to bf16, or 0. A value near a rounding boundary may go either way, hence a bound and no rounded
/// value.
template <class X, class W>
std::vector<Bounded> ffn_row(const X& x, int64_t row, const W& gate_up, const W& down, int64_t d, int64_t f,
                             double activation_epsilon) {
  std::vector<Bounded> h, y;
  for (int64_t j = 0; j < 2 * f; ++j)
    h.push_back(dot(
        [&](int64_t i) {
          return Bounded{x.at(row * d + i), 0};
        },
        [&](int64_t i) { return gate_up.at(j * d + i); }, d));
  std::vector<Bounded> act;
  for (int64_t j = 0; j < f; ++j) {
    Bounded a = swiglu(h[static_cast<size_t>(j)], h[static_cast<size_t>(f + j)]);
    a.bound += activation_epsilon * (std::abs(a.value) + a.bound);
    act.push_back(a);
  }
  for (int64_t j = 0; j < d; ++j)
    y.push_back(
        dot([&](int64_t i) { return act[static_cast<size_t>(i)]; }, [&](int64_t i) { return down.at(j * f + i); }, f));
  return y;
}

}  // namespace switchyard::reference
