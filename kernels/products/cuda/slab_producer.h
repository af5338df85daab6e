// The warpgroup that loads: W's slabs by bulk copies, rows of x from wherever they lie. Included by product_slabs.cu
// only.
#pragma once

#include "kernels/cuda/unroll.h"
#include "kernels/products/cuda/slab_ring.h"

namespace switchyard::cuda::slabs {

/// Announces stages whose copies are complete, some copies behind the last.
template <class Shape>
class Announcer {
  static constexpr int kBehind = 2;
  // A stage is released once the next is committed, which must have been announced.
  static_assert(kBehind + 1 < Shape::stages);

 public:
  __device__ explicit Announcer(const Ring<Shape>& ring) : ring_(ring) {}
  __device__ void began() {
    commit_copies();
    if (++under_way_ > kBehind) {
      wait_for_copies<kBehind>();
      announce();
    }
  }
  __device__ void finish() {
    wait_for_copies<0>();
    while (under_way_ > 0) announce();
  }

 private:
  __device__ void announce() {
    fence_for_products();
    arrive(ring_.full.address(stage_));
    if (++stage_ == Shape::stages) stage_ = 0;
    --under_way_;
  }
  const Ring<Shape>& ring_;
  int stage_ = 0, under_way_ = 0;
};

/// Chunk of a row of x that lies at any address; what is beyond its k columns is zero.
__device__ inline Chunk by_elements(const BFloat16* row, int column, int k) {
  Chunk chunk{};
  SWITCHYARD_UNROLL
  for (int e = 0; e < kSlabChunk; ++e)
    if (column + e < k) chunk.values[e] = row[column + e];
  return chunk;
}

/// Copies one chunk of each of some rows of x for every stage: entries first_row, first_row + 16, … of the tile.
/// kAligned: whether rows of x begin at multiples of 16 bytes.
template <class Shape, bool kAligned>
class RowCopies {
 public:
  __device__ RowCopies(const ProductKernel& p, const Tile& tile)
      : x_(static_cast<const BFloat16*>(p.x)),
        k_(p.k),
        stride_(static_cast<int>(p.x_stride)),
        copies_((tile.rows + 15) / 16) {
    const int thread = static_cast<int>(threadIdx.x), first_row = thread / kSlabChunks;
    chunk_ = thread % kSlabChunks;
    offset_ = slab_offset(first_row, chunk_);
    SWITCHYARD_UNROLL
    for (int i = 0; i < Shape::copies; ++i) {
      const int r = first_row + i * 16;
      const int64_t entry = tile.first + (r < tile.rows ? r : 0);
      const auto row = static_cast<uint32_t>(p.input_row != nullptr ? p.input_row[entry] : entry);
      at_[i] = kAligned ? row * static_cast<uint32_t>(stride_ / kSlabChunk) + static_cast<uint32_t>(chunk_) : row;
    }
  }

  /// To a stage's place for x; those of rows that the tile does not have are left out.
  __device__ void begin(BFloat16* x, int slab) const {
    BFloat16* to = x + offset_;
    if (copies_ == Shape::copies) {  // the way that must be short: no branch between the copies
      SWITCHYARD_UNROLL
      for (int i = 0; i < Shape::copies; ++i) copy(to, slab, i);
    } else {
      SWITCHYARD_UNROLL
      for (int i = 0; i < Shape::copies; ++i)
        if (i < copies_) copy(to, slab, i);
    }
  }

 private:
  __device__ void copy(BFloat16* to, int slab, int i) const {
    const int column = slab * kSlabColumns + chunk_ * kSlabChunk;
    BFloat16* const place = to + i * 16 * kSlabColumns;
    if constexpr (kAligned) {
      const uint32_t from = at_[i] + static_cast<uint32_t>(slab) * kSlabChunks;
      copy_async_16(place, reinterpret_cast<const Chunk*>(x_) + from, column < k_);
    } else {
      *reinterpret_cast<Chunk*>(place) = by_elements(x_ + static_cast<int64_t>(at_[i]) * stride_, column, k_);
    }
  }

  const BFloat16* x_;
  int k_, stride_, copies_, chunk_, offset_;
  uint32_t at_[Shape::copies];  ///< the chunk of a row that a copy begins with, counted from x on; unaligned: the row
};

template <class Shape, bool kAligned>
__device__ void produce(const ProductKernel& p, const Ring<Shape>& ring) {
  const int num_slabs = p.padded_k / kSlabColumns;
  Announcer<Shape> announcer(ring);
  Turn<Shape> turn(1);
  Place place;
  for (Walk walk(p, Shape::rows); walk.take(place);) {
    if (place.tile.rows == 0) continue;
    const auto* w = static_cast<const BFloat16*>(p.weights(place.tile.group)) +
                    static_cast<int64_t>(place.column_tile) * num_slabs * Shape::w_elements;
    const RowCopies<Shape, kAligned> copies(p, place.tile);
    for (int slab = 0; slab < num_slabs; ++slab, turn.next()) {
      wait_for_phase(ring.empty.address(turn.stage), turn.parity);
      if (threadIdx.x == 0) {
        constexpr int kBytes = Shape::w_elements * static_cast<int>(sizeof(BFloat16));
        arrive_expecting(ring.full.address(turn.stage), kBytes);
        copy_bulk(ring.w(turn.stage), w + static_cast<int64_t>(slab) * Shape::w_elements, kBytes,
                  ring.full.address(turn.stage));
      }
      copies.begin(ring.x(turn.stage), slab);
      announcer.began();
    }
  }
  announcer.finish();
}

}  // namespace switchyard::cuda::slabs
