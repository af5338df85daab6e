// A norm's arithmetic on a device. rms_norm and prepare_heads take it from here, so that both have the same bits.
// Included by .cu files only.
#pragma once

#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp.h"

namespace switchyard::cuda {

/// Rows of at most so many elements are those of neighbouring lanes of a warp, kNormLaneQuads quads each at most.
inline constexpr int64_t kNormLaneQuads = 2, kShortNorm = kNormLaneQuads * kQuad * kWarp;
inline RowSplit short_norm_split(int64_t dim) {
  return RowSplit::of(quads_of(dim), kNormLaneQuads);
}

__device__ inline float add_squares(float sum, const float4& v) {
  return fmaf(v.w, v.w, fmaf(v.z, v.z, fmaf(v.y, v.y, fmaf(v.x, v.x, sum))));
}

/// Over `lanes` neighbours, a power of two; all lanes of the warp take part.
__device__ inline float sum_of_lanes(float x, int64_t lanes) {
  for (int offset = static_cast<int>(lanes) / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

__device__ inline float inverse_rms(float squares, int64_t dim, float eps) {
  return 1 / sqrtf(squares / static_cast<float>(dim) + eps);
}

/// v · scale · weight, of which `count` elements exist; null: ones.
template <bool kWhole>
__device__ inline float4 normed(const float4& v, float scale, const float* weight, int64_t count) {
  const float4 w = weight != nullptr ? load_quad<kWhole>(weight, count) : make_float4(1, 1, 1, 1);
  return make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
}

}  // namespace switchyard::cuda
