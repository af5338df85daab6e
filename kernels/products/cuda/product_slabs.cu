// Products of bf16 on Hopper, by warpgroups (wgmma), of weights in slabs.
//
// W stands where mma.sync has the rows: 128 of its rows are M, a tile's entries are N. A block goes on from tile to
// tile. Its first warpgroup fills a ring of stages in shared memory, a slab of W (one bulk copy) and the entries' rows
// of x (16 bytes a copy, wherever they lie) each; the other two multiply, each 64 rows of W.
#include <type_traits>

#include "kernels/cuda/hopper.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warpgroup_product.h"
#include "kernels/products/cuda/product_launch.h"

namespace switchyard::cuda {
namespace {

constexpr int kConsumers = 2 * kWarpgroup, kThreads = kWarpgroup + kConsumers;
// Of a thread: 65,536 are a multiprocessor's.
constexpr int kProducerRegisters = 72, kConsumerRegisters = 216;
static_assert(kProducerRegisters * kWarpgroup + kConsumerRegisters * kConsumers <= 65536);
constexpr int kColumns = 128;  // rows of W, columns of the result
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

/// Announces stages whose copies are complete, some copies behind the last.
template <class Shape>
class Announcer {
  static constexpr int kBehind = 2;
  static_assert(kBehind < Shape::stages);

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

struct alignas(16) Chunk {
  BFloat16 values[kSlabChunk];
};

/// Chunk of a row of x that lies at any address; what is beyond its k columns is zero.
__device__ Chunk by_elements(const BFloat16* row, int column, int k) {
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

constexpr int kConsumersBarrier = 1;

/// Results in bf16 go through shared memory, kColumns (of a plain product) or half as many (activations) columns of at
/// most kMostRows entries at once, so that whole sectors are written.
template <class Shape, Epilogue kEpilogue>
struct Staging {
  static constexpr int columns = kEpilogue == Epilogue::swiglu ? kColumns / 2 : kColumns;
  static constexpr int rows = Shape::rows * columns > 16384 ? 16384 / columns : Shape::rows;
  static constexpr int chunks = columns / kSlabChunk;
  static __device__ int offset(int r, int c) { return r * columns + (c ^ r % 8) * kSlabChunk; }
};

/// Entries [first, first + count) of the tile from the staging to y.
template <class Staging>
__device__ __forceinline__ void write_staged(const ProductKernel& p, const Place& place,
                                             const SharedArray<BFloat16>& staging, int first, int count, int n,
                                             const Consumer& me) {
  const bool whole = n % kSlabChunk == 0 && p.y_stride % kSlabChunk == 0;
  for (int i = me.thread; i < count * Staging::chunks; i += kConsumers) {
    const int r = i / Staging::chunks, c = i % Staging::chunks;
    const int column = place.column_tile * Staging::columns + c * kSlabChunk;
    if (column >= n) continue;
    BFloat16* to = static_cast<BFloat16*>(p.y) + output_row_of(p, place.tile.first + first + r) * p.y_stride + column;
    if (whole) {
      *reinterpret_cast<uint4*>(to) = staging.load<uint4>(Staging::offset(r, c));
    } else {
      const Chunk chunk = staging.load<Chunk>(Staging::offset(r, c));
      SWITCHYARD_UNROLL
      for (int e = 0; e < kSlabChunk; ++e)
        if (column + e < n) to[e] = chunk.values[e];
    }
  }
}

/// pair(j, which): of columns 8 j to 8 j + 7, this thread's two results of W's first (0) or second (1) row of 8.
template <class Shape, Epilogue kEpilogue, class Pair>
__device__ __forceinline__ void store_bf16(const ProductKernel& p, const Place& place,
                                           const SharedArray<BFloat16>& staging, int width, int n, const Consumer& me,
                                           const Pair& pair) {
  using S = Staging<Shape, kEpilogue>;
  constexpr bool kGated = kEpilogue == Epilogue::swiglu;
  const int row = me.lane % 8, matrix = me.lane / 8 % 2;
  SWITCHYARD_UNROLL
  for (int first = 0; first < Shape::rows; first += S::rows) {
    if (first >= place.tile.rows) continue;
    SWITCHYARD_UNROLL
    for (int j = first / 8; j < (first + S::rows) / 8; j += kGated ? 2 : 1) {
      if (j * 8 >= width) continue;
      // Activations: a warp has 8 columns, and two blocks of 8 entries go at once. Otherwise it has 16 of one block.
      const int r = (kGated ? j + matrix : j) * 8 - first + row;
      const int chunk = kGated ? me.warpgroup * 4 + me.warp : me.warpgroup * 8 + me.warp * 2 + matrix;
      store_matrix_x2_transposed(staging.address(S::offset(r, chunk)), pair(j, 0), pair(j, 1));
    }
    named_barrier(kConsumersBarrier, kConsumers);
    const int rest = place.tile.rows - first;
    write_staged<S>(p, place, staging, first, rest < S::rows ? rest : S::rows, n, me);
    named_barrier(kConsumersBarrier, kConsumers);
  }
}

/// Straight from the registers: 8 lanes write a sector of 32 bytes. row_of(entry): its row of y.
template <class Shape, bool kAdd, class RowOf>
__device__ __forceinline__ void store_f32_rows(const ProductKernel& p, const Place& place, int width,
                                               const Consumer& me, const WarpgroupSums& sums, const RowOf& row_of) {
  constexpr int kAtOnce = kAdd ? 4 : 1;  // blocks of 8 entries whose old values are read before any is written
  const int column = place.column_tile * kColumns + me.w_row(), first_row = me.lane % 4 * 2;
  const bool low = column < p.n, high = column + 8 < p.n;
  float* const y = static_cast<float*>(p.y) + column;
  SWITCHYARD_UNROLL
  for (int first = 0; first < Shape::rows / 8; first += kAtOnce) {
    if (first * 8 >= width) continue;
    float* rows[kAtOnce * 2];
    float old[kAtOnce * 2][2];
    SWITCHYARD_UNROLL
    for (int i = 0; i < kAtOnce * 2; ++i) {
      const int r = first * 8 + i / 2 * 8 + first_row + i % 2;
      const bool there = r < place.tile.rows;
      rows[i] = y + row_of(place.tile.first + (there ? r : 0)) * p.y_stride;
      if (!kAdd) continue;
      old[i][0] = there && low ? rows[i][0] : 0;
      old[i][1] = there && high ? rows[i][8] : 0;
    }
    SWITCHYARD_UNROLL
    for (int i = 0; i < kAtOnce * 2; ++i) {
      const bool there = first * 8 + i / 2 * 8 + first_row + i % 2 < place.tile.rows;
      const float* d = sums + (first + i / 2) * 4 + i % 2;
      if (there && low) rows[i][0] = kAdd ? old[i][0] + d[0] : d[0];
      if (there && high) rows[i][8] = kAdd ? old[i][1] + d[2] : d[2];
    }
  }
}

template <class Shape>
__device__ __forceinline__ void store_f32(const ProductKernel& p, const Place& place, int width, const Consumer& me,
                                          const WarpgroupSums& sums) {
  const auto itself = [](int64_t entry) { return entry; };
  const auto listed = [&](int64_t entry) { return output_row_of(p, entry); };
  if (p.output_row == nullptr && !p.add) return store_f32_rows<Shape, false>(p, place, width, me, sums, itself);
  if (p.output_row == nullptr) return store_f32_rows<Shape, true>(p, place, width, me, sums, itself);
  if (!p.add) return store_f32_rows<Shape, false>(p, place, width, me, sums, listed);
  store_f32_rows<Shape, true>(p, place, width, me, sums, listed);
}

/// What store_f32() will add to, while the product is computed.
template <class Shape>
__device__ void prefetch_old(const ProductKernel& p, const Place& place, const Consumer& me) {
  constexpr int kLine = 32;  // floats
  for (int i = me.thread; i < place.tile.rows * (kColumns / kLine); i += kConsumers) {
    const int column = place.column_tile * kColumns + i % (kColumns / kLine) * kLine;
    if (column >= p.n) continue;
    const int64_t row = output_row_of(p, place.tile.first + i / (kColumns / kLine));
    prefetch_to_l2(static_cast<const float*>(p.y) + row * p.y_stride + column);
  }
}

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
__device__ void consume(const ProductKernel& p, const Ring<Shape>& ring, const SharedArray<BFloat16>& staging) {
  constexpr bool kGated = kEpilogue == Epilogue::swiglu;
  constexpr RowOrder kOrder = kGated ? RowOrder::gate_up : RowOrder::plain;
  const Consumer me;
  const int num_slabs = p.padded_k / kSlabColumns;
  Turn<Shape> turn(0);
  Place place;
  for (Walk walk(p, Shape::rows); walk.take(place);) {
    if (place.tile.rows == 0) continue;
    if (p.add) prefetch_old<Shape>(p, place, me);
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
    if (kGated && p.clamped)
      finish<Shape, kEpilogue, Out>(p, place, staging, width, me, sums, ClampedSwiglu<Out>{p.alpha, p.limit});
    else
      finish<Shape, kEpilogue, Out>(p, place, staging, width, me, sums, Swiglu<Out>{});
  }
}

/// One that is never used has an element too.
template <class Shape, Epilogue kEpilogue, class Out>
constexpr int kStagingElements =
    std::is_same_v<Out, float> ? 1 : Staging<Shape, kEpilogue>::rows* Staging<Shape, kEpilogue>::columns;

template <class Shape, bool kAligned, Epilogue kEpilogue, class Out>
__global__ void __launch_bounds__(kThreads, 1) slab_kernel(const __grid_constant__ ProductKernel p) {
  SharedMemory shared;
  const Ring<Shape> ring(shared);
  const auto staging = shared.take<BFloat16>(kStagingElements<Shape, kEpilogue, Out>);
  if (threadIdx.x < kWarpgroup) {
    give_back_registers<kProducerRegisters>();
    produce<Shape, kAligned>(p, ring);
  } else {
    take_registers<kConsumerRegisters>();
    consume<Shape, kEpilogue, Out>(p, ring, staging);
  }
}

template <class Shape, bool kAligned, Epilogue kEpilogue, class Out>
void launch_blocks(const Stream& stream, const Product& p) {
  // Groups' rows stand in the order of their weights; of a dense product a few tiles share W's.
  const int64_t most_in_band = p.tiles.empty() ? 4 : 1;
  const ProductKernel kernel = product_kernel_of<kEpilogue>(p, kColumns, most_in_band);
  const int64_t tiles = rounded_up(kernel.num_tiles, kernel.band) * kernel.num_column_tiles;
  int multiprocessors = 0;
  SWITCHYARD_CUDA_CALL(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, stream.device_index));
  SharedLayout shared;
  Ring<Shape>::add_to(shared);
  shared.add<BFloat16>(kStagingElements<Shape, kEpilogue, Out>);
  static_assert((Shape::stages * Shape::stage_elements + kStagingElements<Shape, kEpilogue, Out>)*sizeof(BFloat16) +
                        3 * kSharedAlignment <=
                    227 << 10,
                "what a block has on sm_90");
  launch_product(stream, {blocks_for(std::min<int64_t>(tiles, multiprocessors), 1), kThreads, shared.bytes()},
                 slab_kernel<Shape, kAligned, kEpilogue, Out>, p, kernel);
}

//                        rows stages widths
using Rows64 = SlabShape<64, 8, 8, 16, 32>;
using Rows128 = SlabShape<128, 6, 32, 64, 96>;
using Rows256 = SlabShape<256, 4, 64, 128, 192>;

template <class Shape, bool kAligned>
void launch_shape(const Stream& stream, const Product& p) {
  if (p.epilogue == Epilogue::swiglu)
    launch_blocks<Shape, kAligned, Epilogue::swiglu, BFloat16>(stream, p);
  else if (p.output == DType::f32)
    launch_blocks<Shape, kAligned, Epilogue::store, float>(stream, p);
  else
    launch_blocks<Shape, kAligned, Epilogue::store, BFloat16>(stream, p);
}

}  // namespace

void product_bf16_slabs(const Stream& stream, const Product& p, bool aligned) {
  if (!aligned) return launch_shape<Rows64, false>(stream, p);
  switch (p.tile_rows) {
    case 64:
      return launch_shape<Rows64, true>(stream, p);
    case 128:
      return launch_shape<Rows128, true>(stream, p);
    default:
      return launch_shape<Rows256, true>(stream, p);
  }
}

}  // namespace switchyard::cuda
