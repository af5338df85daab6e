// Reductions over a warp and over a block, in one fixed order; every thread of it takes part and gets the result.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/shared.h"

namespace switchyard::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float warp_sum(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

/// partial: one element a warp. Begins and ends with a barrier's worth of order: it may be called again at once.
__device__ inline float block_sum(float x, const SharedArray<float>& partial) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int num_warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < num_warps; ++w) sum += partial[w];
  __syncthreads();
  return sum;
}

}  // namespace switchyard::cuda
