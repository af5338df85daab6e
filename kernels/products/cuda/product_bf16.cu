// Products of bf16 on tensor cores.
#include "kernels/products/cuda/product_tile.h"

namespace switchyard::cuda {
namespace {

struct alignas(4) BFloat16Pair {
  BFloat16 low, high;
};

__device__ void store(BFloat16* row, int column, float low, float high) {
  *reinterpret_cast<BFloat16Pair*>(row + column) = std::bit_cast<BFloat16Pair>(pack_bf16(low, high));
}

/// Columns `column` (even) and `column` + 1 of a row of n.
__device__ void put(const ProductKernel& p, BFloat16* row, int column, float low, float high) {
  if (p.n % 2 == 0) {
    if (column < p.n) store(row, column, low, high);
  } else {
    if (column < p.n) row[column] = to_bfloat16(low);
    if (column + 1 < p.n) row[column + 1] = to_bfloat16(high);
  }
}

__device__ void put(const ProductKernel& p, float* row, int column, float low, float high) {
  if (p.n % 2 == 0) {
    if (column >= p.n) return;
    auto* to = reinterpret_cast<float2*>(row + column);
    *to = p.add ? make_float2(to->x + low, to->y + high) : make_float2(low, high);
  } else {
    if (column < p.n) row[column] = p.add ? row[column] + low : low;
    if (column + 1 < p.n) row[column + 1] = p.add ? row[column + 1] + high : high;
  }
}

/// A warp's part of the tile in fragments of 16 × 8 (tensor_core.h).
template <class Shape>
class Accumulator {
  static constexpr int kWarpTileRows = Shape::rows / Shape::warp_rows;
  static constexpr int kWarpTileColumns = Shape::columns / Shape::warp_columns;
  static constexpr int kM = kWarpTileRows / 16, kN = kWarpTileColumns / 8, kSteps = Shape::depth / 16;
  static_assert(kN % 2 == 0);

 public:
  using Element = BFloat16;

  __device__ Accumulator() {
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
    lane_ = thread % 32;
    first_row_ = warp / Shape::warp_columns * kWarpTileRows;
    first_column_ = warp % Shape::warp_columns * kWarpTileColumns;
  }

  // The fragments of the next step are loaded before this one's products.
  __device__ void multiply(const SharedArray<BFloat16>& stage) {
    Fragments fragments[2];
    load(stage, 0, fragments[0]);
    SWITCHYARD_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) load(stage, step + 1, fragments[(step + 1) % 2]);
      const Fragments& f = fragments[step % 2];
      SWITCHYARD_UNROLL
      for (int m = 0; m < kM; ++m) {
        SWITCHYARD_UNROLL
        for (int n = 0; n < kN; ++n) mma_bf16(sums_[m][n], f.x[m], f.w[n]);
      }
    }
  }

  /// To all sums of a row of W's storage bias(row).
  template <class BiasOf>
  __device__ void add(const Place& place, const BiasOf& bias) {
    const int first_column = place.column_tile * Shape::columns + first_column_ + lane_ % 4 * 2;
    SWITCHYARD_UNROLL
    for (int n = 0; n < kN; ++n) {
      const float low = bias(first_column + n * 8), high = bias(first_column + n * 8 + 1);
      SWITCHYARD_UNROLL
      for (int m = 0; m < kM; ++m) {
        sums_[m][n][0] += low, sums_[m][n][1] += high;
        sums_[m][n][2] += low, sums_[m][n][3] += high;
      }
    }
  }

  /// gated(gate, up): the activation, where the epilogue is swiglu.
  template <Epilogue kEpilogue, class Out, class Gated>
  __device__ void finish(const ProductKernel& p, const Place& place, [[maybe_unused]] const Gated& gated) const {
    const int row_in_fragment = lane_ / 4, column_in_fragment = lane_ % 4 * 2;
    const int first_column = place.column_tile * Shape::columns + first_column_;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kM; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int r = first_row_ + m * 16 + half * 8 + row_in_fragment;
        if (r >= place.tile.rows) continue;
        Out* row = static_cast<Out*>(p.y) + output_row_of(p, place.tile.first + r) * p.y_stride;
        if constexpr (kEpilogue == Epilogue::swiglu) {
          SWITCHYARD_UNROLL
          for (int n = 0; n < kN; n += 2) {
            const float *gate = sums_[m][n] + 2 * half, *up = sums_[m][n + 1] + 2 * half;
            store(row, (first_column + n * 8) / 2 + column_in_fragment, gated(gate[0], up[0]), gated(gate[1], up[1]));
          }
        } else {
          SWITCHYARD_UNROLL
          for (int n = 0; n < kN; ++n)
            put(p, row, first_column + n * 8 + column_in_fragment, sums_[m][n][2 * half], sums_[m][n][2 * half + 1]);
        }
      }
    }
  }

  /// A unit is two fragments side by side, which four lanes share.
  __device__ void sum_logits(const ProductKernel& p, const Place& place, const SharedArray<LogitSum>& units) const {
    const int first_column = place.column_tile * Shape::columns + first_column_ + lane_ % 4 * 2;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kM; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int r = first_row_ + m * 16 + half * 8 + lane_ / 4;
        const TargetLogit target(p, place.tile, r);
        SWITCHYARD_UNROLL
        for (int n = 0; n < kN; n += 2) {
          const auto sum_of = [&](int fragment, int i) {
            const int column = first_column + (n + fragment) * 8 + i;
            const float logit = sums_[m][n + fragment][2 * half + i];
            target.meet(logit, column);
            return sum_of_logit(logit, column, column < p.n);
          };
          LogitSum sum =
              join<Element>(join<Element>(sum_of(0, 0), sum_of(0, 1)), join<Element>(sum_of(1, 0), sum_of(1, 1)));
          sum = join<Element>(sum, of_other_lane(sum, 1));
          sum = join<Element>(sum, of_other_lane(sum, 2));
          if (lane_ % 4 == 0) units.store((first_column_ / kUnitColumns + n / 2) * Shape::rows + r, sum);
        }
      }
    }
  }

 private:
  struct Fragments {
    uint32_t x[kM][4], w[kN][2];
  };

  // Matrices of a load: of x, rows 0-7 and 8-15, then the same of the next 8 k; of W, k 0-7 and 8-15 of 8 rows, then of
  // the next 8 rows.
  __device__ void load(const SharedArray<BFloat16>& stage, int step, Fragments& f) const {
    const int matrix = lane_ / 8, row = lane_ % 8;
    const int x_at = Shape::offset(first_row_ + matrix % 2 * 8 + row, step * 2 + matrix / 2);
    const int w_at = Shape::offset(Shape::rows + first_column_ + matrix / 2 * 8 + row, step * 2 + matrix % 2);
    SWITCHYARD_UNROLL
    for (int m = 0; m < kM; ++m) load_matrix_x4(f.x[m], stage.address(x_at + m * 16 * Shape::depth));
    SWITCHYARD_UNROLL
    for (int n = 0; n < kN; n += 2) {
      uint32_t w[4];
      load_matrix_x4(w, stage.address(w_at + n * 8 * Shape::depth));
      f.w[n][0] = w[0], f.w[n][1] = w[1];
      f.w[n + 1][0] = w[2], f.w[n + 1][1] = w[3];
    }
  }

  int lane_, first_row_, first_column_;
  float sums_[kM][kN][4] = {};
};

// Few rows: weights are read at the speed of memory, so much of them must be under way (5 stages of 8 KB in each of 3
// blocks). Many rows: a warp's tile of 64 × 64 takes the fewest bytes from shared memory per product; two blocks of
// them fill the registers of a multiprocessor.          rows columns depth stages blocks warps along rows
using Rows16 = TileShape<BFloat16, 16, 64, 64, 6, 3, 1>;
using Rows32 = TileShape<BFloat16, 32, 128, 64, 3, 3, 1>;
using Rows64 = TileShape<BFloat16, 64, 128, 64, 3, 3, 2>;
using Rows128 = TileShape<BFloat16, 128, 128, 32, 4, 2, 2>;

template <class Shape, bool kAligned>
void launch_shape(const Stream& stream, const Product& p) {
  if (p.epilogue == Epilogue::swiglu)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::swiglu, BFloat16>(stream, p);
  else if (p.epilogue == Epilogue::logit_sums)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::logit_sums, float>(stream, p);
  else if (p.output == DType::f32)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::store, float>(stream, p);
  else
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::store, BFloat16>(stream, p);
}

}  // namespace

void product_bf16(const Stream& stream, const Product& p, bool aligned) {
  if (!aligned) return launch_shape<Rows32, false>(stream, p);
  switch (p.tile_rows) {
    case 16:
      return launch_shape<Rows16, true>(stream, p);
    case 32:
      return launch_shape<Rows32, true>(stream, p);
    case 64:
      return launch_shape<Rows64, true>(stream, p);
    default:
      return launch_shape<Rows128, true>(stream, p);
  }
}

}  // namespace switchyard::cuda
