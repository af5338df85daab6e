#include "kernels/cuda/rows.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/scale_rows.h"

namespace switchyard::cuda {
namespace {

/// A quad a thread. row: null: r itself
template <class T, bool kWhole>
__global__ void scale_rows_kernel(const float* x, const int32_t* row, const float* factor, RowSplit split, int64_t rows,
                                  int64_t dim, T* y) {
  const RowShare share = row_share(split);
  if (share.row >= rows) return;
  const float scale = factor[row != nullptr ? int64_t{row[share.row]} : share.row];
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad) {
    const float4 v = load_quad<kWhole>(x + share.row * dim + i, dim - i);
    store_quad<kWhole>(y + share.row * dim + i, make_float4(v.x * scale, v.y * scale, v.z * scale, v.w * scale),
                       dim - i);
  }
}

}  // namespace

static void run_scale_rows(const Stream& stream, ConstView x, ConstView row, ConstView factor, View y) {
  check_scale_rows(x, row, factor, y);
  const int64_t rows = x.rows(), dim = x.row_elements();
  const int32_t* list = row.data != nullptr ? row.as<int32_t>() : nullptr;
  const RowSplit split = RowSplit::of(quads_of(dim));
  with_float_type(y.dtype, "scale_rows", [&](auto element) {
    with_bool(whole_quads(dim, {x, y}), [&](auto whole) {
      using T = decltype(element);
      launch(stream, split.shape(rows), scale_rows_kernel<T, decltype(whole)::value>, x.as<float>(), list,
             factor.as<float>(), split, rows, dim, y.as<T>());
    });
  });
}
CudaOp<ScaleRowsFn> scale_rows = run_scale_rows;

}  // namespace switchyard::cuda
