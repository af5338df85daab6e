// What kernels of products have in common: what they take, where a tile's rows are, and what becomes of its sums.
// Included by product_*.cu only.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/exponential.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/product.h"

namespace switchyard::cuda {

inline constexpr int kMaxPointers = 480;

/// What kernels take by value.
struct ProductKernel {
  const void* x;
  int64_t x_stride;
  int k, padded_k, n;
  int num_tiles, num_column_tiles, band;
  const Tile* tiles;
  int64_t entries;
  const int32_t *input_row, *output_row;
  void* y;
  int64_t y_stride;
  const int32_t* targets;
  float* target_logits;
  bool add, clamped, biased, whole_tiles;
  float alpha, limit;
  int first_group, num_groups;
  const void* pointers[kMaxPointers];  // each group's weights, then, if there are any, each group's bias

  __device__ const void* weights(int group) const { return pointers[group - first_group]; }
  __device__ const float* bias(int group) const {
    return static_cast<const float*>(pointers[num_groups + group - first_group]);
  }
};
static_assert(sizeof(ProductKernel) <= 4096, "what a kernel takes of parameters before CUDA 12.1");

/// A tile of rows and the number of its tile of columns; no rows: nothing to do. `band` tiles of rows stand
/// side by side before the next column of tiles, so that they take W from the L2 cache.
struct Place {
  Tile tile;
  int column_tile;
};

__device__ inline Place find_place(const ProductKernel& p, int tile_rows, int64_t block) {
  const int64_t per_band = static_cast<int64_t>(p.band) * p.num_column_tiles;
  const int in_band = static_cast<int>(block % per_band);
  const int64_t t = block / per_band * p.band + in_band % p.band;
  Place place{{0, -1, 0}, in_band / p.band};
  if (t >= p.num_tiles) return place;
  if (p.tiles != nullptr) {
    place.tile = p.tiles[t];
    const int group = place.tile.group - p.first_group;
    if (group < 0 || group >= p.num_groups) place.tile.rows = 0;
  } else {
    const int64_t first = t * tile_rows, rest = p.entries - first;
    place.tile = {first, 0, rest < tile_rows ? static_cast<int32_t>(rest) : tile_rows};
  }
  return place;
}

/// What is added to the sums of the row `r` of W's storage; 0 where that is padding.
template <RowOrder kOrder>
struct Bias {
  const float* values;
  int n;
  __device__ float operator()(int r) const {
    const int64_t from = source_row(kOrder, n, r);
    return from < 0 ? 0 : values[from];
  }
};

/// x · σ(alpha · x). In f32 to its last bits; where bf16 is written by the hardware's exponential and quotient, whose
/// errors (2^-21 + 2^-24 |alpha x|) do not reach it. Below alpha x = -87.3 the quotient is 0, not some 1e-36.
template <class Out>
__device__ inline float times_sigmoid(float x, float alpha) {
  if constexpr (std::is_same_v<Out, float>) return x / (1 + expf(-alpha * x));
  return __fdividef(x, 1 + fast_exp(-alpha * x));
}

template <class Out>
struct Swiglu {
  __device__ float operator()(float gate, float up) const { return times_sigmoid<Out>(gate, 1) * up; }
};

/// NaN is not beyond any limit, and stays.
template <class Out>
struct ClampedSwiglu {
  float alpha, limit;
  __device__ float operator()(float gate, float up) const {
    const float g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
    return times_sigmoid<Out>(g, alpha) * (u + 1);
  }
};

__device__ inline int64_t output_row_of(const ProductKernel& p, int64_t entry) {
  return p.output_row != nullptr ? p.output_row[entry] : entry;
}

}  // namespace switchyard::cuda
