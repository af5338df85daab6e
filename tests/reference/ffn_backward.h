#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/ffn.h"

namespace switchyard::reference {

/// What comes back of ⟨d_out, weight · ffn_row(x)⟩ for one row, without biases and clamps.
struct FfnRowBackward {
  std::vector<Bounded> scaled_h;   ///< [f] weight · activation
  std::vector<Bounded> d_gate_up;  ///< [2f]
  std::vector<Bounded> dx;         ///< [d]
  Bounded dweight;
};

/// `operand_epsilon`: of the rounding of d_gate_up to bf16 before the last product, or 0.
template <class X, class W>
FfnRowBackward ffn_row_backward(const X& x, const X& d_out, double weight, int64_t row, const W& gate_up, const W& down,
                                int64_t d, int64_t f, double operand_epsilon) {
  const auto hidden = [&](int64_t j) {
    return dot(
        [&](int64_t i) {
          return Bounded{x.at(row * d + i), 0};
        },
        [&](int64_t i) { return gate_up.at(j * d + i); }, d);
  };
  FfnRowBackward result{{}, std::vector<Bounded>(static_cast<size_t>(2 * f)), {}, {0, 0}};
  double magnitude = 0;
  for (int64_t j = 0; j < f; ++j) {
    const Bounded gate = hidden(j), up = hidden(f + j), h = swiglu(gate, up);
    const Bounded a = dot(
        [&](int64_t i) {
          return Bounded{d_out.at(row * d + i), 0};
        },
        [&](int64_t i) { return down.at(i * f + j); }, d);
    const auto [by_gate, by_up] = swiglu_derivatives(gate, up);
    const Bounded dh = times({weight, 0}, a), term = times(h, a);
    result.scaled_h.push_back(times({weight, 0}, h));
    result.d_gate_up[static_cast<size_t>(j)] = times(dh, by_gate);
    result.d_gate_up[static_cast<size_t>(f + j)] = times(dh, by_up);
    result.dweight.value += term.value;
    result.dweight.bound += term.bound;
    magnitude += std::abs(term.value) + term.bound;
  }
  result.dweight.bound += static_cast<double>(f + 1) * kEpsilon * magnitude;
  for (int64_t i = 0; i < d; ++i)
    result.dx.push_back(
        dot([&](int64_t j) { return rounded(result.d_gate_up[static_cast<size_t>(j)], operand_epsilon); },
            [&](int64_t j) { return gate_up.at(j * d + i); }, 2 * f));
  return result;
}

}  // namespace switchyard::reference
