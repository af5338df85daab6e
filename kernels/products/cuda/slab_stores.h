// What becomes of a tile's sums where they are stored. Included by product_slabs.cu only.
#pragma once

#include "kernels/products/cuda/slab_product.h"

namespace switchyard::cuda::slabs {

/// Results in bf16 go through shared memory, kColumns (of a plain product) or half as many (activations) columns of at
/// most Staging::rows entries at once, so that whole sectors are written.
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

}  // namespace switchyard::cuda::slabs
