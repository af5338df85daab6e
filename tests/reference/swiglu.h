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

/// Its derivatives by gate and by up, 0 beyond the limits; what may lie on either side of one may be either.
inline SwigluDerivatives clamped_swiglu_derivatives(Bounded gate, Bounded up, double alpha, double limit) {
  const double g = std::min(gate.value, limit), u = std::clamp(up.value, -limit, limit) + 1;
  const double sigma = 1 / (1 + std::exp(-alpha * g)), glu = g * sigma;
  const double epsilon = (16 + 2 * std::abs(alpha * g)) * kEpsilon;
  const double slope = sigma * (1 + alpha * g * (1 - sigma)), terms = sigma * (1 + std::abs(alpha * g) * (1 - sigma));
  const auto within = [](double off, double bound, Bounded x) {
    if (std::abs(off) <= bound) return Bounded{off <= 0 ? x.value : 0, std::abs(x.value) + x.bound};
    return off < 0 ? x : Bounded{0, 0};
  };
  return {within(gate.value - limit, gate.bound,
                 times({slope, 0.5 * alpha * gate.bound + epsilon * terms}, {u, up.bound + kEpsilon * std::abs(u)})),
          within(std::abs(up.value) - limit, up.bound, {glu, 1.1 * gate.bound + epsilon * std::abs(glu)})};
}

inline Bounded activated(const GatedActivation& activation, Bounded gate, Bounded up) {
  return activation.clamped ? clamped_swiglu(gate, up, activation.alpha, activation.limit) : swiglu(gate, up);
}
inline SwigluDerivatives activated_derivatives(const GatedActivation& activation, Bounded gate, Bounded up) {
  return activation.clamped ? clamped_swiglu_derivatives(gate, up, activation.alpha, activation.limit)
                            : swiglu_derivatives(gate, up);
}

}  // namespace switchyard::reference
