// Internal to kernels/.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/vector_math.h"

namespace switchyard {

/// 1 / sqrt(mean(row²) + eps)
inline float inverse_rms_of(const float* row, int64_t dim, float eps) {
  return 1 / std::sqrt(dot(row, row, dim) / static_cast<float>(dim) + eps);
}

}  // namespace switchyard
