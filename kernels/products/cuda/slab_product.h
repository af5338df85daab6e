// A product of slabs by the warpgroups that multiply: each has 64 of the tile's 128 rows of W, and all of its entries.
// Included by product_slabs.cu only.
#pragma once

#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warpgroup_product.h"
#include "kernels/products/cuda/slab_ring.h"

namespace switchyard::cuda::slabs {

inline constexpr int kConsumersBarrier = 1, kWarpgroupBarrier = 2;  // of the first warpgroup; the next one's follows

/// Of a thread among those that multiply.
struct Consumer {
  int thread, warpgroup, warp, lane;
  __device__ Consumer() {
    thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    warpgroup = thread / kWarpgroup, warp = thread / 32 % 4, lane = thread % 32;
  }
  /// In the tile, the first row of W whose sums it has; the other one is 8 further.
  __device__ int w_row() const { return warpgroup * 64 + warp * 16 + lane / 4; }
};

/// sums = W xᵀ over all slabs, in order.
template <int kWidth, class Shape>
__device__ __forceinline__ void multiply(const Ring<Shape>& ring, Turn<Shape>& turn, int num_slabs, const Consumer& me,
                                         WarpgroupSums& sums) {
  SWITCHYARD_UNROLL
  for (int i = 0; i < kWidth / 2; ++i) sums[i] = 0;
  const int w_offset = me.warpgroup * 64 * kSlabColumns;
  int before = -1;
  const auto give_back = [&] {
    if (before >= 0 && me.lane == 0) arrive(ring.empty.address(before));
  };
  for (int slab = 0; slab < num_slabs; ++slab, turn.next()) {
    wait_for_phase(ring.full.address(turn.stage), turn.parity);
    fence_products();
    SWITCHYARD_UNROLL
    for (int step = 0; step < kSlabColumns / 16; ++step)
      multiply_slabs<kWidth>(sums, ring.w(turn.stage) + w_offset, ring.x(turn.stage), step);
    commit_products();
    wait_for_products<1>();
    give_back();
    before = turn.stage;
  }
  wait_for_products<0>();
  give_back();
}

/// With the narrowest instruction for so many rows; its width.
template <class Shape>
__device__ __forceinline__ int multiply_rows(const Ring<Shape>& ring, Turn<Shape>& turn, int num_slabs,
                                             const Consumer& me, int rows, WarpgroupSums& sums) {
  if (rows <= Shape::width0) return multiply<Shape::width0>(ring, turn, num_slabs, me, sums), Shape::width0;
  if (rows <= Shape::width1) return multiply<Shape::width1>(ring, turn, num_slabs, me, sums), Shape::width1;
  if (rows <= Shape::width2) return multiply<Shape::width2>(ring, turn, num_slabs, me, sums), Shape::width2;
  return multiply<Shape::rows>(ring, turn, num_slabs, me, sums), Shape::rows;
}

}  // namespace switchyard::cuda::slabs
