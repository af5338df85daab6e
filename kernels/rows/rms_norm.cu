#include "kernels/row_blocks.h"
#include "kernels/rows/cuda/norm_row.h"
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
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad)
    squares = add_squares(squares, load_quad<kWhole>(row + i, dim - i));
  return squares;
}

template <bool kWhole, class T>
__device__ void write_scaled(const Norm<T>& norm, const float* row, float scale, const RowShare& share) {
  for (int64_t i = share.first * kQuad; i < norm.dim; i += share.step * kQuad) {
    const int64_t count = norm.dim - i, element = share.row * norm.dim + i;
    const float* weight = norm.weight != nullptr ? norm.weight + i : nullptr;
    const float4 y = normed<kWhole>(load_quad<kWhole>(row + i, count), scale, weight, count);
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
  write_scaled<kWhole>(norm, row, inverse_rms(squares, norm.dim, norm.eps), share);
}

/// 2^split.log2_threads ≤ 32 neighbouring lanes a row.
template <class T, bool kWhole>
__global__ void short_rows_kernel(Norm<T> norm, RowSplit split) {
  const RowShare share = row_share(split);
  const bool there = share.row < norm.rows;  // all lanes take part in the sums
  const float* row = norm.x + share.row * norm.dim;
  const float squares = sum_of_lanes(there ? sum_of_squares<kWhole>(row, share, norm.dim) : 0, share.step);
  if (there) write_scaled<kWhole>(norm, row, inverse_rms(squares, norm.dim, norm.eps), share);
}

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
      if (dim <= kShortNorm) {
        const RowSplit split = short_norm_split(dim);
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

static void run_rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  norm_rows(stream, x, weight, eps, y, {});
}
CudaOp<RmsNormFn> rms_norm = run_rms_norm;

static void run_rms_norm_rounded(const Stream& stream, ConstView x, ConstView weight, float eps, View y, View rounded) {
  norm_rows(stream, x, weight, eps, y, rounded);
}
CudaOp<RmsNormRoundedFn> rms_norm_rounded = run_rms_norm_rounded;

}  // namespace switchyard::cuda
