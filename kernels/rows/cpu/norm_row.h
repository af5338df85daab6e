// A norm's row. Internal to kernels/.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/vector_math.h"

namespace switchyard {

/// 1 / sqrt(mean(row²) + eps)
inline float inverse_rms_of(const float* row, int64_t dim, float eps) {
  return 1 / std::sqrt(dot(row, row, dim) / static_cast<float>(dim) + eps);
}

/// For for_lanes: out = row · scale · weight, and the same rounded.
template <class T>
struct NormLane {
  const float* row;
  const float* weight;  ///< null: ones
  F32x8 scale;
  T* out;
  BFloat16* rounded = nullptr;  ///< null: not wanted
  void operator()(int64_t i, auto read, auto write) const {
    const F32x8 y = read(row + i) * scale * (weight != nullptr ? read(weight + i) : broadcast(1));
    write(out + i, y);
    if (rounded != nullptr) write(rounded + i, y);
  }
};

}  // namespace switchyard
