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
#include "kernels/products/cuda/logit_sums.h"
#include "kernels/products/cuda/product_launch.h"

namespace switchyard::cuda {

inline constexpr int kProductThreads = 128;
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
  static_assert(sizeof(T) * stages * stage_elements <= 163 << 10, "what a block has on sm_80");
  static constexpr int unit_elements = rows * (columns / kUnitColumns);  // LogitSums, where stages were
  static_assert(sizeof(LogitSum) * unit_elements <= sizeof(T) * stages * stage_elements);

  /// Of chunk c of row r, in elements. 8 rows further it is 8 · depth more.
  static __device__ int offset(int r, int c) { return r * depth + (c ^ (chunks == 8 ? r % 8 : r / 2 % 4)) * chunk; }
};

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

/// Units meet where the stages were.
template <class Shape, class Accumulator>
__device__ void sum_logits(const ProductKernel& p, const Place& place,
                           const SharedArray<typename Shape::Element>& stages, const Accumulator& accumulator) {
  const SharedArray<LogitSum> units(reinterpret_cast<LogitSum*>(stages.address(0)), Shape::unit_elements);
  __syncthreads();  // everyone is done with the last stage
  accumulator.sum_logits(p, place, units);
  __syncthreads();
  write_logit_sums<typename Shape::Element, Shape::rows, Shape::columns>(
      p, place.tile, units, place.column_tile * Shape::columns, static_cast<int>(threadIdx.x), kProductThreads);
}

// Choices that are not the main loop's are made behind it, and once for all sums: they cost no kernel more.
template <class Shape, bool kAligned, class Accumulator, Epilogue kEpilogue, class Out>
__global__ void __launch_bounds__(kProductThreads, Shape::blocks) product_kernel(ProductKernel p) {
  SharedMemory shared;
  const auto stages = shared.take<typename Shape::Element>(Shape::stages * Shape::stage_elements);
  const Place place = find_place(p, Shape::rows, blockIdx.x);
  if (place.tile.rows == 0) return;
  Accumulator accumulator;
  run_slabs<Shape, kAligned>(p, place, stages, accumulator);
  constexpr bool kGated = kEpilogue == Epilogue::swiglu;
  constexpr RowOrder kOrder = kGated ? RowOrder::gate_up : RowOrder::plain;
  if (p.biased) accumulator.add(place, Bias<kOrder>{p.bias(place.tile.group), p.n});
  if constexpr (kEpilogue == Epilogue::logit_sums)
    sum_logits<Shape>(p, place, stages, accumulator);
  else if (kGated && p.clamped)
    accumulator.template finish<kEpilogue, Out>(p, place, ClampedSwiglu<Out>{p.alpha, p.limit});
  else
    accumulator.template finish<kEpilogue, Out>(p, place, Swiglu<Out>{});
}

/// A block for each tile.
template <class Shape, bool kAligned, class Accumulator, Epilogue kEpilogue, class Out>
void launch_tiles(const Stream& stream, const Product& p) {
  constexpr int64_t kBand = 8;
  const ProductKernel kernel = product_kernel_of<kEpilogue>(p, Shape::columns, kBand);
  const int64_t tiles = rounded_up(kernel.num_tiles, kernel.band);
  launch_product(stream,
                 {blocks_for(tiles * kernel.num_column_tiles, 1), kProductThreads,
                  SharedLayout().add<typename Shape::Element>(Shape::stages * Shape::stage_elements).bytes()},
                 product_kernel<Shape, kAligned, Accumulator, kEpilogue, Out>, p, kernel);
}

}  // namespace switchyard::cuda
