// What both sides of a product of slabs share: a ring of stages in shared memory, and the way from tile to tile.
// Included by product_slabs.cu only.
#pragma once

#include "kernels/cuda/hopper.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/slab.h"
#include "kernels/products/cuda/product_kernel.h"

namespace switchyard::cuda::slabs {

inline constexpr int kConsumers = 2 * kWarpgroup, kThreads = kWarpgroup + kConsumers;
// Of a thread: 65,536 are a multiprocessor's.
inline constexpr int kProducerRegisters = 72, kConsumerRegisters = 216;
static_assert(kProducerRegisters * kWarpgroup + kConsumerRegisters * kConsumers <= 65536);
inline constexpr int kColumns = 128;  // rows of W, columns of the result
static_assert(kColumns == Matrix::kRowMultiple && kSlabColumns == Matrix::kColumnMultiple);

/// kRows: entries of a tile, at most. Of fewer the narrowest of four instructions is used that takes them all.
template <int kRows, int kStages, int kWidth0, int kWidth1, int kWidth2>
struct SlabShape {
  static constexpr int rows = kRows, stages = kStages;
  static constexpr int width0 = kWidth0, width1 = kWidth1, width2 = kWidth2;
  static constexpr int w_elements = kColumns * kSlabColumns, x_elements = kRows * kSlabColumns;
  static constexpr int stage_elements = w_elements + x_elements;
  static constexpr int copies = kRows / 16;  // of a producer's thread, of a stage
};

/// 16 bytes, what a copy moves.
struct alignas(16) Chunk {
  BFloat16 values[kSlabChunk];
};

/// The ring: producers fill what is empty, consumers empty what is full.
template <class Shape>
struct Ring {
  SharedArray<BFloat16> stages;
  SharedArray<uint64_t> full, empty;

  __device__ explicit Ring(SharedMemory& shared)
      : stages(shared.take<BFloat16>(Shape::stages * Shape::stage_elements)),
        full(shared.take<uint64_t>(Shape::stages)),
        empty(shared.take<uint64_t>(Shape::stages)) {
    if (threadIdx.x == 0) {
      for (int s = 0; s < Shape::stages; ++s) {
        init_phases(full.address(s), kWarpgroup + 1);  // every thread's rows, and the announcement of the weights
        init_phases(empty.address(s), kConsumers / 32);
      }
      publish_phases();
    }
    __syncthreads();
  }
  static void add_to(SharedLayout& layout) {
    layout.add<BFloat16>(Shape::stages * Shape::stage_elements).template add<uint64_t>(Shape::stages);
    layout.add<uint64_t>(Shape::stages);
  }
  __device__ BFloat16* w(int stage) const { return stages.address(stage * Shape::stage_elements); }
  __device__ BFloat16* x(int stage) const { return w(stage) + Shape::w_elements; }
};

/// Which stage is next, and the parity of the phase that one waits for there.
template <class Shape>
struct Turn {
  int stage = 0;
  uint32_t parity;
  __device__ explicit Turn(uint32_t first_parity) : parity(first_parity) {}
  __device__ void next() {
    if (++stage == Shape::stages) stage = 0, parity ^= 1;
  }
};

/// The tiles of this block, in order; the one behind is looked up while a tile is computed.
class Walk {
 public:
  __device__ Walk(const ProductKernel& p, int tile_rows)
      : p_(p),
        tile_rows_(tile_rows),
        next_(blockIdx.x),
        end_(static_cast<int64_t>((p.num_tiles + p.band - 1) / p.band) * p.band * p.num_column_tiles) {
    ahead_ = find_place(p_, tile_rows_, next_);
  }
  __device__ bool take(Place& place) {
    if (next_ >= end_) return false;
    place = ahead_;
    next_ += gridDim.x;
    ahead_ = find_place(p_, tile_rows_, next_);
    return true;
  }

 private:
  const ProductKernel& p_;
  int tile_rows_;
  int64_t next_, end_;
  Place ahead_;
};

}  // namespace switchyard::cuda::slabs
