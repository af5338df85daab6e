// How a block computes a tile of a product: x and W come slab by slab along k through a ring of stages in shared
// memory, filled by asynchronous copies, while the stage in front is multiplied. Included by product_*.cu only.
//
// A stage holds rows of x, then rows of W, `depth` elements each, in chunks of 16 bytes. Chunk c of row r lies at place
// c ^ (r mod 8) of its row (rows of 128 bytes) or c ^ (r / 2 mod 4) (rows of 64): the 8 chunks that a load takes from 8
// consecutive rows lie in different banks.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "kernels/cuda/shared.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/cuda/unroll.h"
#include "kernels/products/cuda/product.h"

namespace switchyard::cuda {

inline constexpr int kProductThreads = 128;
inline constexpr int kMaxPointers = 480;

/// kBlocks: of a multiprocessor, which bounds the registers.
template <class T, int kRows, int kColumns, int kDepth, int kStages, int kBlocks, int kWarpRows>
struct TileShape {
  using Element = T;
  static constexpr int rows = kRows, columns = kColumns, depth = kDepth, stages = kStages, blocks = kBlocks;
  static constexpr int warp_rows = kWarpRows, warp_columns = kProductThreads / 32 / kWarpRows;
  static constexpr int chunk = 16 / static_cast<int>(sizeof(T));  // elements
  static constexpr int chunks = depth / chunk;                    // of a row
  static constexpr int stage_elements = (rows + columns) * depth;
  static_assert((chunks == 4 || chunks == 8) && rows * chunks % kProductThreads == 0);

  /// Of chunk c of row r, in elements. 8 rows further it is 8 · depth more.
  static __device__ int offset(int r, int c) { return r * depth + (c ^ (chunks == 8 ? r % 8 : r / 2 % 4)) * chunk; }
};

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
  bool add, clamped, biased;
  float alpha, limit;
  int first_group, num_groups;
  const void* pointers[kMaxPointers];  // each group's weights, then, if there are any, each group's bias

  __device__ const void* weights(int group) const { return pointers[group - first_group]; }
  __device__ const float* bias(int group) const {
    return static_cast<const float*>(pointers[num_groups + group - first_group]);
  }
};
static_assert(sizeof(ProductKernel) <= 4096, "what a kernel takes of parameters before CUDA 12.1");

/// A block's tile of rows and the number of its tile of columns; no rows: nothing to do. `band` tiles of rows stand
/// side by side before the next column of tiles, so that they take W from the L2 cache.
struct Place {
  Tile tile;
  int column_tile;
};

__device__ inline Place find_place(const ProductKernel& p, int tile_rows) {
  const int64_t block = blockIdx.x, per_band = static_cast<int64_t>(p.band) * p.num_column_tiles;
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

/// Brings slabs of x and W to shared memory; each thread has a fixed chunk of some rows. kAligned: rows of x begin at
/// multiples of 16 bytes.
template <class Shape, bool kAligned>
class TileLoader {
  using T = typename Shape::Element;
  static constexpr int kRowStep = kProductThreads / Shape::chunks;
  static constexpr int kXRows = Shape::rows / kRowStep, kWRows = Shape::columns / kRowStep;
  static_assert(kRowStep % 8 == 0);
  struct alignas(16) Chunk {
    T values[Shape::chunk];
  };

 public:
  __device__ TileLoader(const ProductKernel& p, const Place& place)
      : k_(p.k), num_rows_(place.tile.rows), w_step_(static_cast<int64_t>(kRowStep) * p.padded_k) {
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % Shape::chunks;
    row_ = thread / Shape::chunks;
    column_ = chunk * Shape::chunk;
    offset_ = Shape::offset(row_, chunk);
    SWITCHYARD_UNROLL
    for (int i = 0; i < kXRows; ++i) {
      int64_t row = 0;
      if (row_ + i * kRowStep < num_rows_) {
        row = place.tile.first + row_ + i * kRowStep;
        if (p.input_row != nullptr) row = p.input_row[row];
      }
      x_[i] = static_cast<const T*>(p.x) + row * p.x_stride + column_;
    }
    const auto* w = static_cast<const T*>(p.weights(place.tile.group));
    w_ = w + (static_cast<int64_t>(place.column_tile) * Shape::columns + row_) * p.padded_k + column_;
  }

  /// The next slab, to `stage`.
  __device__ void load(const SharedArray<T>& stage) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < kXRows; ++i) {
      const int to = offset_ + i * kRowStep * Shape::depth;
      const bool there = row_ + i * kRowStep < num_rows_ && column_ < k_;
      if constexpr (kAligned)
        copy_async_16(stage.address(to), x_[i], there);
      else
        stage.store(to, by_elements(x_[i], there));
      x_[i] += Shape::depth;
    }
    SWITCHYARD_UNROLL
    for (int i = 0; i < kWRows; ++i)
      copy_async_16(stage.address(offset_ + (Shape::rows + i * kRowStep) * Shape::depth), w_ + i * w_step_, true);
    w_ += Shape::depth;
    column_ += Shape::depth;
  }

 private:
  __device__ Chunk by_elements(const T* from, bool there) const {
    Chunk chunk{};
    SWITCHYARD_UNROLL
    for (int e = 0; e < Shape::chunk; ++e)
      if (there && column_ + e < k_) chunk.values[e] = from[e];
    return chunk;
  }

  int k_, num_rows_, row_, column_, offset_;
  int64_t w_step_;
  const T* x_[kXRows];
  const T* w_;
};

/// All slabs through the stages: accumulator.multiply(stage) for each, in order.
template <class Shape, bool kAligned, class Accumulator>
__device__ void run_slabs(const ProductKernel& p, const Place& place,
                          const SharedArray<typename Shape::Element>& stages, Accumulator& accumulator) {
  TileLoader<Shape, kAligned> loader(p, place);
  const int num_slabs = p.padded_k / Shape::depth;
  const auto stage = [&](int slab) {
    return stages.part(slab % Shape::stages * Shape::stage_elements, Shape::stage_elements);
  };
  for (int slab = 0; slab < Shape::stages - 1; ++slab) {
    if (slab < num_slabs) loader.load(stage(slab));
    commit_copies();
  }
  for (int slab = 0; slab < num_slabs; ++slab) {
    wait_for_copies<Shape::stages - 2>();
    __syncthreads();  // everyone's copies of this slab are there, and everyone is done with the slab before
    const int ahead = slab + Shape::stages - 1;
    if (ahead < num_slabs) loader.load(stage(ahead));
    commit_copies();
    accumulator.multiply(stage(slab));
  }
}

struct Swiglu {
  __device__ float operator()(float gate, float up) const { return gate / (1 + expf(-gate)) * up; }
};

/// NaN is not beyond any limit, and stays.
struct ClampedSwiglu {
  float alpha, limit;
  __device__ float operator()(float gate, float up) const {
    const float g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
    return g / (1 + expf(-alpha * g)) * (u + 1);
  }
};

__device__ inline int64_t output_row_of(const ProductKernel& p, int64_t entry) {
  return p.output_row != nullptr ? p.output_row[entry] : entry;
}

}  // namespace switchyard::cuda
