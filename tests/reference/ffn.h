#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/linear.h"
#include "reference/swiglu.h"

namespace switchyard::reference {

/// An expert's weights as they are in a checkpoint. gate_up: [2f, d], down: [d, f]; biases: null: none
template <class W>
struct Ffn {
  const W &gate_up, &down;
  const W *gate_up_bias, *down_bias;
};

/// sum + bias[j], in f32.
template <class W>
Bounded with_bias(Bounded sum, const W* bias, int64_t j) {
  if (bias == nullptr) return sum;
  sum.value += bias->at(j);
  sum.bound += kEpsilon * (std::abs(sum.value) + sum.bound);
  return sum;
}

/// One row through down(activation(gate_up(x))). `activation_epsilon`: of the rounding of the activations to bf16, or
/// 0.
template <class X, class W>
std::vector<Bounded> ffn_row(const X& x, int64_t row, const Ffn<W>& w, int64_t d, int64_t f,
                             const GatedActivation& activation, double activation_epsilon) {
  std::vector<Bounded> h, y;
  for (int64_t j = 0; j < 2 * f; ++j) {
    const Bounded sum = dot(
        [&](int64_t i) {
          return Bounded{x.at(row * d + i), 0};
        },
        [&](int64_t i) { return w.gate_up.at(j * d + i); }, d);
    h.push_back(with_bias(sum, w.gate_up_bias, j));
  }
  std::vector<Bounded> act;
  for (int64_t j = 0; j < f; ++j) {
    const Bounded a = activated(activation, h[static_cast<size_t>(j)], h[static_cast<size_t>(f + j)]);
    act.push_back(rounded(a, activation_epsilon));
  }
  for (int64_t j = 0; j < d; ++j) {
    const Bounded sum =
        dot([&](int64_t i) { return act[static_cast<size_t>(i)]; }, [&](int64_t i) { return w.down.at(j * f + i); }, f);
    y.push_back(with_bias(sum, w.down_bias, j));
  }
  return y;
}

}  // namespace switchyard::reference
