// What becomes of a tile's sums where they are logits. Included by product_slabs.cu only.
#pragma once

#include "kernels/products/cuda/logit_sums.h"
#include "kernels/products/cuda/slab_product.h"

namespace switchyard::cuda::slabs {

inline constexpr int kBlock = 32;  // entries: one for each lane, in the end

/// The targets of entries lane, lane + 32, … of a tile, read while the product is computed; −1 where there is none.
template <class Shape, Epilogue kEpilogue>
struct TargetColumns {
  int32_t of_blocks[Shape::rows / kBlock];
  __device__ TargetColumns(const ProductKernel& p, const Tile& tile, int lane) {
    if constexpr (kEpilogue == Epilogue::logit_sums) {
      SWITCHYARD_UNROLL
      for (int b = 0; b < Shape::rows / kBlock; ++b) {
        const int r = b * kBlock + lane;
        of_blocks[b] = r < tile.rows ? target_of(p, output_row_of(p, tile.first + r)) : -1;
      }
    }
  }
};

/// Logits of a warp for a block of entries: sums of 8 entries × 2 columns.
struct BlockOfLogits {
  const float* sums;
  int column;      ///< of the vocabulary; the other one is 8 further
  bool low, high;  ///< whether they are there

  /// Entry e of a thread's 8 is this one of the block.
  static __device__ int entry(int e, int lane) { return e / 2 * 8 + lane % 4 * 2 + e % 2; }
  __device__ float logit(int e, int which) const { return sums[e / 2 * 4 + 2 * which + e % 2]; }

  /// The unit of entry entry(lane / 4, lane). Lanes of one entry take turns to halve theirs: what one keeps the other
  /// gives away.
  __device__ __forceinline__ LogitSum unit(int lane) const {
    LogitSum of[8];
    SWITCHYARD_UNROLL
    for (int e = 0; e < 8; ++e)
      of[e] = join<BFloat16>(sum_of_logit(logit(e, 0), column, low), sum_of_logit(logit(e, 1), column + 8, high));
    SWITCHYARD_UNROLL
    for (int rest = 4; rest > 0; rest /= 2) {
      const bool upper = (lane & 4 * rest) != 0;
      SWITCHYARD_UNROLL
      for (int e = 0; e < rest; ++e)
        of[e] = join<BFloat16>(either(upper, of[e + rest], of[e]),
                               of_other_lane(either(upper, of[e], of[e + rest]), 4 * rest));
    }
    return of[0];
  }

  /// targets: each lane's of its entry of the block. Few are among a warp's columns.
  __device__ __forceinline__ void store_targets(const ProductKernel& p, int64_t first_entry, int32_t target,
                                                int lane) const {
    const int first_column = column - lane / 4;
    if (!__any_sync(kAllLanes, target >= first_column && target < first_column + kUnitColumns)) return;
    SWITCHYARD_UNROLL
    for (int e = 0; e < 8; ++e) {
      const int32_t wanted = __shfl_sync(kAllLanes, target, entry(e, lane));
      const float first = logit(e, 0), second = logit(e, 1);
      if (wanted != column && wanted != column + 8) continue;
      p.target_logits[output_row_of(p, first_entry + entry(e, lane))] = wanted == column ? first : second;
    }
  }
};

template <class Shape>
__device__ __forceinline__ void sum_logits(const ProductKernel& p, const Place& place,
                                           const SharedArray<LogitSum>& staging,
                                           const TargetColumns<Shape, Epilogue::logit_sums>& targets, int width,
                                           const Consumer& me, const WarpgroupSums& sums) {
  constexpr int kPart = kWarpgroup / 32 * Shape::rows;  // units of a warpgroup
  const SharedArray<LogitSum> units = staging.part(me.warpgroup * kPart, kPart);
  const int column = place.column_tile * kColumns + me.w_row();
  SWITCHYARD_UNROLL
  for (int b = 0; b < Shape::rows / kBlock; ++b) {
    if (b * kBlock >= width) continue;
    float logits[kBlock / 2];
    SWITCHYARD_UNROLL
    for (int i = 0; i < kBlock / 2; ++i)  // an instruction may be narrower than a block
      logits[i] = (b * 4 + i / 4) * 8 < width ? sums[b * kBlock / 2 + i] : 0;
    const BlockOfLogits block{logits, column, column < p.n, column + 8 < p.n};
    block.store_targets(p, place.tile.first + b * kBlock, targets.of_blocks[b], me.lane);
    units.store(me.warp * Shape::rows + b * kBlock + BlockOfLogits::entry(me.lane / 4, me.lane), block.unit(me.lane));
  }
  const int barrier = kWarpgroupBarrier + me.warpgroup;
  named_barrier(barrier, kWarpgroup);
  write_logit_sums<BFloat16, Shape::rows, kColumns / 2>(p, place.tile, units, column - me.w_row() + me.warpgroup * 64,
                                                        me.thread % kWarpgroup, kWarpgroup);
  named_barrier(barrier, kWarpgroup);
}

}  // namespace switchyard::cuda::slabs
