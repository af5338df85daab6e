#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/rms_norm.h"

namespace switchyard::cuda {
namespace {

/// What the kernels get. Null: ones; not wanted.
template <class T>
struct Norm {
  const float *x, *weight;
  float eps;
  int64_t rows, dim;
  T* y;
  BFloat16* rounded;
};

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
__device__ void write_scaled(const Norm<T>& norm, const float* row, float scale, const RowShare& share) {
  for (int64_t i = share.first * kQuad; i < norm.dim; i += share.step * kQuad) {
    const int64_t count = norm.dim - i, element = share.row * norm.dim + i;
    const float4 v = load_quad<kWhole>(row + i, count);
    const float4 w = norm.weight != nullptr ? load_quad<kWhole>(norm.weight + i, count) : make_float4(1, 1, 1, 1);
    const float4 y = make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
    store_quad<kWhole>(norm.y + element, y, count);
    if (norm.rounded != nullptr) store_quad<kWhole>(norm.rounded + element, y, count);
  }
}

/// A block a row. It is read twice, the second time mostly from the cache.
template <class T, bool kWhole>
__global__ void long_rows_kernel(Norm<T> norm) {
  SharedMemory shared;
  const auto partial = shared.take<float>(kRowThreads / kWarp);
  const RowShare share{int64_t{blockIdx.x}, int64_t{threadIdx.x}, kRowThreads};
  const float* row = norm.x + share.row * norm.dim;
  const float squares = block_sum(sum_of_squares<kWhole>(row, share, norm.dim), partial);
  write_scaled<kWhole>(norm, row, scale_of(squares, norm.dim, norm.eps), share);
}

/// 2^split.log2_threads ≤ 32 neighbouring lanes a row.
template <class T, bool kWhole>
__global__ void short_rows_kernel(Norm<T> norm, RowSplit split) {
  const RowShare share = row_share(split);
  const bool there = share.row < norm.rows;  // all lanes take part in the sums
  const float* row = norm.x + share.row * norm.dim;
  float squares = there ? sum_of_squares<kWhole>(row, share, norm.dim) : 0;
  for (int offset = (1 << split.log2_threads) / 2; offset > 0; offset /= 2)
    squares += __shfl_xor_sync(kAllLanes, squares, offset);
  if (there) write_scaled<kWhole>(norm, row, scale_of(squares, norm.dim, norm.eps), share);
}

constexpr int64_t kShortRow = 256;  // two quads a lane at most

void norm_rows(const Stream& stream, ConstView x, ConstView weight, float eps, View y, View rounded) {
  check_rms_norm(x, weight, y, rounded);
  const int64_t rows = x.rows(), dim = x.row_elements();
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    with_bool(whole_quads(dim, {x, weight, y, rounded}), [&](auto whole) {
      using T = decltype(element);
      constexpr bool kWhole = decltype(whole)::value;
      const Norm<T> norm{x.as<float>(),
                         weight.as<float>(),
                         eps,
                         rows,
                         dim,
                         y.as<T>(),
                         rounded.data != nullptr ? rounded.as<BFloat16>() : nullptr};
      if (dim <= kShortRow) {
        const RowSplit split = RowSplit::of(quads_of(dim), kShortRow / kQuad / kWarp);
        launch(stream, split.shape(rows), short_rows_kernel<T, kWhole>, norm, split);
      } else {
        const LaunchShape shape{blocks_for(rows, 1), kRowThreads,
                                SharedLayout().add<float>(kRowThreads / kWarp).bytes()};
        launch(stream, shape, long_rows_kernel<T, kWhole>, norm);
      }
    });
  });
}

}  // namespace

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  norm_rows(stream, x, weight, eps, y, {});
}

void rms_norm_rounded(const Stream& stream, ConstView x, ConstView weight, float eps, View y, View rounded) {
  norm_rows(stream, x, weight, eps, y, rounded);
}

}  // namespace switchyard::cuda
