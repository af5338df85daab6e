#pragma once

#include "base/fields.h"

namespace switchyard {

/// How an expert's gate and up become one, element by element.
///   plain:              silu(gate) · up, silu(x) = x · σ(x)   (Shazeer 2020)
///   clamped (gpt-oss):  (u + 1) · g · σ(alpha · g), g = min(gate, limit), u = up, held within ±limit
/// NaN stays NaN.
struct GatedActivation {
  bool clamped = false;
  double alpha = 0, limit = 0;  ///< of the clamped one; limit > 0

  bool operator==(const GatedActivation&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"clamped", &GatedActivation::clamped}, Field{"alpha", &GatedActivation::alpha},
                      Field{"limit", &GatedActivation::limit}};
  }
};

}  // namespace switchyard
