// Products of f32, without tensor cores: fused multiply-adds, k ascending.
#include "kernels/products/cuda/product_tile.h"

namespace switchyard::cuda {
namespace {

__device__ void put(const ProductKernel& p, float* to, float value) {
  *to = p.add ? *to + value : value;
}
__device__ void put(const ProductKernel&, BFloat16* to, float value) {
  *to = to_bfloat16(value);
}

/// 8 × 16 threads. A thread's rows are 8 apart; so are its columns, within one half of the tile: it holds the gate and
/// the up of a column.
template <class Shape>
class Accumulator {
  static constexpr int kM = Shape::rows / 8, kN = Shape::columns / 16;
  static_assert(kN % 2 == 0);

 public:
  __device__ Accumulator() {
    const int thread = static_cast<int>(threadIdx.x), across = thread % 16;
    row_ = thread / 16;
    column_ = across % 8 + across / 8 * (Shape::columns / 2);
  }

  __device__ void multiply(const SharedArray<float>& stage) {
    SWITCHYARD_UNROLL
    for (int c = 0; c < Shape::chunks; ++c) {
      const int x_at = Shape::offset(row_, c), w_at = Shape::offset(Shape::rows + column_, c);
      float4 x[kM], w[kN];
      SWITCHYARD_UNROLL
      for (int m = 0; m < kM; ++m) x[m] = stage.load<float4>(x_at + 8 * m * Shape::depth);
      SWITCHYARD_UNROLL
      for (int n = 0; n < kN; ++n) w[n] = stage.load<float4>(w_at + 8 * n * Shape::depth);
      SWITCHYARD_UNROLL
      for (int m = 0; m < kM; ++m) {
        SWITCHYARD_UNROLL
        for (int n = 0; n < kN; ++n) {
          float sum = sums_[m][n];
          sum = fmaf(x[m].x, w[n].x, sum);
          sum = fmaf(x[m].y, w[n].y, sum);
          sum = fmaf(x[m].z, w[n].z, sum);
          sums_[m][n] = fmaf(x[m].w, w[n].w, sum);
        }
      }
    }
  }

  /// To all sums of a row of W's storage bias(row).
  template <class BiasOf>
  __device__ void add(const Place& place, const BiasOf& bias) {
    const int first_column = place.column_tile * Shape::columns + column_;
    SWITCHYARD_UNROLL
    for (int n = 0; n < kN; ++n) {
      const float value = bias(first_column + 8 * n);
      SWITCHYARD_UNROLL
      for (int m = 0; m < kM; ++m) sums_[m][n] += value;
    }
  }

  /// gated(gate, up): the activation, where the epilogue is swiglu.
  template <Epilogue kEpilogue, class Out, class Gated>
  __device__ void finish(const ProductKernel& p, const Place& place, [[maybe_unused]] const Gated& gated) const {
    const int first_column = place.column_tile * Shape::columns + column_;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kM; ++m) {
      const int r = row_ + 8 * m;
      if (r >= place.tile.rows) continue;
      Out* row = static_cast<Out*>(p.y) + output_row_of(p, place.tile.first + r) * p.y_stride;
      if constexpr (kEpilogue == Epilogue::swiglu) {
        SWITCHYARD_UNROLL
        for (int n = 0; n < kN; n += 2) {
          const int w_row = first_column + 8 * n;  // of gate, of which every other block of 8 is
          row[w_row / 16 * 8 + w_row % 8] = gated(sums_[m][n], sums_[m][n + 1]);
        }
      } else {
        SWITCHYARD_UNROLL
        for (int n = 0; n < kN; ++n)
          if (first_column + 8 * n < p.n) put(p, row + first_column + 8 * n, sums_[m][n]);
      }
    }
  }

  /// A unit is two columns of each of eight lanes.
  __device__ void sum_logits(const ProductKernel& p, const Place& place, const SharedArray<LogitSum>& units) const {
    const int first_column = place.column_tile * Shape::columns + column_;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kM; ++m) {
      const int r = row_ + 8 * m;
      const TargetLogit target(p, place.tile, r);
      SWITCHYARD_UNROLL
      for (int n = 0; n < kN; n += 2) {
        const auto sum_of = [&](int i) {
          const int column = first_column + 8 * (n + i);
          const float logit = sums_[m][n + i];
          target.meet(logit, column);
          return sum_of_logit(logit, column, column < p.n);
        };
        LogitSum sum = join<float>(sum_of(0), sum_of(1));
        for (int lane_mask = 1; lane_mask < 8; lane_mask *= 2) sum = join<float>(sum, of_other_lane(sum, lane_mask));
        if (column_ % 8 == 0) units.store((column_ / kUnitColumns + n / 2) * Shape::rows + r, sum);
      }
    }
  }

 private:
  int row_, column_;
  float sums_[kM][kN] = {};
};

//                                  rows columns depth stages blocks (warps along rows: not used)
using Rows16 = TileShape<float, 16, 32, 32, 8, 3, 1>;
using Rows64 = TileShape<float, 64, 64, 32, 3, 3, 1>;

template <class Shape, bool kAligned>
void launch_shape(const Stream& stream, const Product& p) {
  if (p.epilogue == Epilogue::swiglu)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::swiglu, float>(stream, p);
  else if (p.epilogue == Epilogue::logit_sums)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::logit_sums, float>(stream, p);
  else if (p.output == DType::f32)
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::store, float>(stream, p);
  else
    launch_tiles<Shape, kAligned, Accumulator<Shape>, Epilogue::store, BFloat16>(stream, p);
}

}  // namespace

void product_f32(const Stream& stream, const Product& p, bool aligned) {
  if (!aligned) return launch_shape<Rows64, false>(stream, p);
  return p.tile_rows == 16 ? launch_shape<Rows16, true>(stream, p) : launch_shape<Rows64, true>(stream, p);
}

}  // namespace switchyard::cuda
