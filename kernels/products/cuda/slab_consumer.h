// The warpgroups that multiply, and what becomes of their sums. Included by product_slabs.cu only.
#pragma once

#include <type_traits>

#include "kernels/products/cuda/slab_logit_sums.h"
#include "kernels/products/cuda/slab_stores.h"

namespace switchyard::cuda::slabs {

/// What is in shared memory between the sums and y. One that is never used has an element too.
template <Epilogue kEpilogue>
using StagedElement = std::conditional_t<kEpilogue == Epilogue::logit_sums, LogitSum, BFloat16>;
template <class Shape, Epilogue kEpilogue, class Out>
inline constexpr int kStagedElements = kEpilogue == Epilogue::logit_sums ? (kColumns / kUnitColumns) * Shape::rows
                                       : std::is_same_v<Out, float>
                                           ? 1
                                           : (Staging<Shape, kEpilogue>::rows) * Staging<Shape, kEpilogue>::columns;

template <class Shape, Epilogue kEpilogue, class Out, class Gated>
__device__ __forceinline__ void finish(const ProductKernel& p, const Place& place,
                                       [[maybe_unused]] const SharedArray<BFloat16>& staging, int width,
                                       const Consumer& me, const WarpgroupSums& sums,
                                       [[maybe_unused]] const Gated& gated) {
  if constexpr (kEpilogue == Epilogue::swiglu) {
    const auto activation = [&](int j) {
      const float* d = sums + 4 * j;
      return pack_bf16(gated(d[0], d[2]), gated(d[1], d[3]));
    };
    store_bf16<Shape, kEpilogue>(p, place, staging, width, static_cast<int>(p.y_stride), me,
                                 [&](int j, int which) { return (j + which) * 8 < width ? activation(j + which) : 0; });
  } else if constexpr (std::is_same_v<Out, BFloat16>) {
    store_bf16<Shape, kEpilogue>(p, place, staging, width, p.n, me, [&](int j, int which) {
      return pack_bf16(sums[4 * j + 2 * which], sums[4 * j + 2 * which + 1]);
    });
  } else {
    store_f32<Shape>(p, place, width, me, sums);
  }
}

template <class Shape, Epilogue kEpilogue, class Out>
__device__ void consume(const ProductKernel& p, const Ring<Shape>& ring,
                        const SharedArray<StagedElement<kEpilogue>>& staging) {
  constexpr bool kGated = kEpilogue == Epilogue::swiglu;
  constexpr RowOrder kOrder = kGated ? RowOrder::gate_up : RowOrder::plain;
  const Consumer me;
  const int num_slabs = p.padded_k / kSlabColumns;
  Turn<Shape> turn(0);
  Place place;
  for (Walk walk(p, Shape::rows); walk.take(place);) {
    if (place.tile.rows == 0) continue;
    if (p.add) prefetch_old<Shape>(p, place, me);
    const TargetColumns<Shape, kEpilogue> targets(p, place.tile, me.lane);
    WarpgroupSums sums;
    const int rows = p.whole_tiles ? Shape::rows : place.tile.rows;
    const int width = multiply_rows(ring, turn, num_slabs, me, rows, sums);
    if (p.biased) {
      const Bias<kOrder> bias{p.bias(place.tile.group), p.n};
      const int w_row = place.column_tile * kColumns + me.w_row();
      const float low = bias(w_row), high = bias(w_row + 8);
      SWITCHYARD_UNROLL
      for (int j = 0; j < Shape::rows / 8; ++j)
        if (j * 8 < width) sums[4 * j] += low, sums[4 * j + 1] += low, sums[4 * j + 2] += high, sums[4 * j + 3] += high;
    }
    if constexpr (kEpilogue == Epilogue::logit_sums)
      sum_logits<Shape>(p, place, staging, targets, width, me, sums);
    else if (kGated && p.clamped)
      finish<Shape, kEpilogue, Out>(p, place, staging, width, me, sums, ClampedSwiglu<Out>{p.alpha, p.limit});
    else
      finish<Shape, kEpilogue, Out>(p, place, staging, width, me, sums, Swiglu<Out>{});
  }
}

}  // namespace switchyard::cuda::slabs
