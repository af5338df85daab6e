#pragma once

#include <cmath>

#include "reference/bounded.h"

namespace switchyard::reference {

/// silu(gate) · up. |silu'| ≤ 1.1; the last term is for the kernel's exponential and divisions.
inline Bounded swiglu(Bounded gate, Bounded up) {
  const double silu = gate.value / (1 + std::exp(-gate.value));
  const double value = silu * up.value;
  return {value, 1.1 * gate.bound * (std::abs(up.value) + up.bound) + std::abs(silu) * up.bound +
                     8 * kEpsilon * std::abs(value)};
}

}  // namespace switchyard::reference
