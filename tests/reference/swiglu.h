#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/products/gated_activation.h"
#include "reference/bounded.h"

namespace switchyard::reference {

/// silu(gate) · up. |silu'| ≤ 1.1; the last term is for the kernel's exponential and divisions.
inline Bounded swiglu(Bounded gate, Bounded up) {
  const double silu = gate.value / (1 + std::exp(-gate.value));
  const double value = silu * up.value;
  return {value, 1.1 * gate.bound * (std::abs(up.value) + up.bound) + std::abs(silu) * up.bound +
                     8 * kEpsilon * std::abs(value)};
}

/// The derivatives of swiglu() by gate, σ (1 + gate (1 − σ)) · up, and by up. |silu''| ≤ 0.5; again the kernel's own
/// roundings, of either term before they cancel.
struct SwigluDerivatives {
  Bounded by_gate, by_up;
};
inline SwigluDerivatives swiglu_derivatives(Bounded gate, Bounded up) {
  const double sigma = 1 / (1 + std::exp(-gate.value)), silu = gate.value * sigma;
  const double slope = sigma + silu * (1 - sigma), terms = sigma + std::abs(silu) * (1 - sigma);
  return {times({slope, 0.5 * gate.bound + 16 * kEpsilon * terms}, up),
          {silu, 1.1 * gate.bound + 8 * kEpsilon * std::abs(silu)}};
}

/// (u + 1) · g · σ(alpha · g) of gpt-oss. Limits make no bound larger; alpha · g is rounded before its exponential.
inline Bounded clamped_swiglu(Bounded gate, Bounded up, double alpha, double limit) {
  const double g = std::min(gate.value, limit), u = std::clamp(up.value, -limit, limit) + 1;
  const double glu = g / (1 + std::exp(-alpha * g));
  const double value = glu * u;
  return {value, 1.1 * gate.bound * (std::abs(u) + up.bound) + std::abs(glu) * up.bound +
                     (10 + 2 * std::abs(alpha * g)) * kEpsilon * std::abs(value)};
}

inline Bounded activated(const GatedActivation& activation, Bounded gate, Bounded up) {
  return activation.clamped ? clamped_swiglu(gate, up, activation.alpha, activation.limit) : swiglu(gate, up);
}

}  // namespace switchyard::reference
