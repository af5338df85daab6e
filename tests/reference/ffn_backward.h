#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/ffn.h"

namespace switchyard::reference {

/// What comes back of ⟨d_out, weight · ffn_row(x)⟩ for one row.
struct FfnRowBackward {
  std::vector<Bounded> scaled_h;   ///< [f] weight · activation
  std::vector<Bounded> d_gate_up;  ///< [2f]
  std::vector<Bounded> dx;         ///< [d]
  Bounded dweight;
};

/// `operand_epsilon`: of the rounding of d_gate_up to bf16 before the last product, or 0.
template <class X, class W>
FfnRowBackward ffn_row_backward(const X& x, const X& d_out, double weight, int64_t row, const Ffn<W>& w, int64_t d,
                                int64_t f, const GatedActivation& activation, double operand_epsilon) {
  const auto hidden = [&](int64_t j) {
    const Bounded sum = dot(
        [&](int64_t i) {
          return Bounded{x.at(row * d + i), 0};
        },
        [&](int64_t i) { return w.gate_up.at(j * d + i); }, d);
    return with_bias(sum, w.gate_up_bias, j);
  };
  FfnRowBackward result{{}, std::vector<Bounded>(static_cast<size_t>(2 * f)), {}, {0, 0}};
  double magnitude = 0;
  for (int64_t j = 0; j < f; ++j) {
    const Bounded gate = hidden(j), up = hidden(f + j), h = activated(activation, gate, up);
    const Bounded a = dot(
        [&](int64_t i) {
          return Bounded{d_out.at(row * d + i), 0};
        },
        [&](int64_t i) { return w.down.at(i * f + j); }, d);
    const auto [by_gate, by_up] = activated_derivatives(activation, gate, up);
    const Bounded dh = times({weight, 0}, a), term = times(h, a);
    result.scaled_h.push_back(times({weight, 0}, h));
    result.d_gate_up[static_cast<size_t>(j)] = times(dh, by_gate);
    result.d_gate_up[static_cast<size_t>(f + j)] = times(dh, by_up);
    result.dweight.value += term.value;
    result.dweight.bound += term.bound;
    magnitude += std::abs(term.value) + term.bound;
  }
  for (int64_t i = 0; i < d && w.down_bias != nullptr; ++i) {
    const double term = w.down_bias->at(i) * d_out.at(row * d + i);
    result.dweight.value += term;
    magnitude += std::abs(term);
  }
  result.dweight.bound += static_cast<double>(f + d + 1) * kEpsilon * magnitude;
  for (int64_t i = 0; i < d; ++i)
    result.dx.push_back(
        dot([&](int64_t j) { return rounded(result.d_gate_up[static_cast<size_t>(j)], operand_epsilon); },
            [&](int64_t j) { return w.gate_up.at(j * d + i); }, 2 * f));
  return result;
}

}  // namespace switchyard::reference
