#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/rms_norm.h"

namespace switchyard::cuda {
namespace {

// Which thread adds which squares, and in what order, follows from the row's length alone: quads q, q + threads, … The
// zeros beyond the row's end change no sum.

template <bool kWhole>
__device__ float sum_of_squares(const float* row, const RowShare& share, int64_t dim) {
  float squares = 0;
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad) {
    const float4 v = load_quad<kWhole>(row + i, dim - i);
    squares = fmaf(v.w, v.w, fmaf(v.z, v.z, fmaf(v.y, v.y, fmaf(v.x, v.x, squares))));
  }
  return squares;
}

__device__ float scale_of(float squares, int64_t dim, float eps) {
  return 1 / sqrtf(squares / static_cast<float>(dim) + eps);
}

template <bool kWhole, class T>
__device__ void write_scaled(const float* row, const float* weight, float scale, const RowShare& share, int64_t dim,
                             T* out) {
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad) {
    const float4 v = load_quad<kWhole>(row + i, dim - i);
    const float4 w = weight != nullptr ? load_quad<kWhole>(weight + i, dim - i) : make_float4(1, 1, 1, 1);
    store_quad<kWhole>(out + i, make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w),
                       dim - i);
  }
}

/// A block a row. It is read twice, the second time mostly from the cache.
template <class T, bool kWhole>
__global__ void long_rows_kernel(const float* x, const float* weight, float eps, int64_t dim, T* y) {
  SharedMemory shared;
  const auto partial = shared.take<float>(kRowThreads / kWarp);
  const RowShare share{int64_t{blockIdx.x}, int64_t{threadIdx.x}, kRowThreads};
  const float* row = x + share.row * dim;
  const float squares = block_sum(sum_of_squares<kWhole>(row, share, dim), partial);
  write_scaled<kWhole>(row, weight, scale_of(squares, dim, eps), share, dim, y + share.row * dim);
}

/// 2^split.log2_threads ≤ 32 neighbouring lanes a row.
template <class T, bool kWhole>
__global__ void short_rows_kernel(const float* x, const float* weight, float eps, RowSplit split, int64_t rows,
                                  int64_t dim, T* y) {
  const RowShare share = row_share(split);
  const bool there = share.row < rows;  // all lanes take part in the sums
  const float* row = x + share.row * dim;
  float squares = there ? sum_of_squares<kWhole>(row, share, dim) : 0;
  for (int offset = (1 << split.log2_threads) / 2; offset > 0; offset /= 2)
    squares += __shfl_xor_sync(kAllLanes, squares, offset);
  if (there) write_scaled<kWhole>(row, weight, scale_of(squares, dim, eps), share, dim, y + share.row * dim);
}

constexpr int64_t kShortRow = 256;  // two quads a lane at most

}  // namespace

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK((weight.data == nullptr || weight.elements() == dim) && y.rows() == rows && y.row_elements() == dim,
                   "rms_norm: x {}, weight {}, y {}", x.shape.str(), weight.shape.str(), y.shape.str());
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    with_bool(whole_quads(dim, {x, weight, y}), [&](auto whole) {
      using T = decltype(element);
      constexpr bool kWhole = decltype(whole)::value;
      if (dim <= kShortRow) {
        const RowSplit split = RowSplit::of(quads_of(dim), kShortRow / kQuad / kWarp);
        launch(stream, split.shape(rows), short_rows_kernel<T, kWhole>, x.as<float>(), weight.as<float>(), eps, split,
               rows, dim, y.as<T>());
      } else {
        const LaunchShape shape{blocks_for(rows, 1), kRowThreads,
                                SharedLayout().add<float>(kRowThreads / kWarp).bytes()};
        launch(stream, shape, long_rows_kernel<T, kWhole>, x.as<float>(), weight.as<float>(), eps, dim, y.as<T>());
      }
    });
  });
}

}  // namespace switchyard::cuda
