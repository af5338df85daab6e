#include "kernels/cuda/rows.h"
#include "kernels/rows/copy_columns.h"

namespace switchyard::cuda {
namespace {

/// A quad a thread. x, y: at the first column
template <bool kWhole>
__global__ void copy_columns_kernel(const float* x, int64_t x_dim, int64_t sharing, RowSplit split, int64_t rows,
                                    int64_t count, float* y, int64_t y_dim) {
  const RowShare share = row_share(split);
  if (share.row >= rows) return;
  for (int64_t i = share.first * kQuad; i < count; i += share.step * kQuad)
    store_quad<kWhole>(y + share.row * y_dim + i, load_quad<kWhole>(x + share.row / sharing * x_dim + i, count - i),
                       count - i);
}

}  // namespace

static void run_copy_columns(const Stream& stream, ConstView x, int64_t first, int64_t count, View y, int64_t to) {
  const int64_t sharing = rows_that_share(x, first, count, y, to), x_dim = x.row_elements(), y_dim = y.row_elements();
  const RowSplit split = RowSplit::of(quads_of(count));
  const bool aligned = (first | to | x_dim | y_dim) % kQuad == 0;
  with_bool(aligned && whole_quads(count, {x, y}), [&](auto whole) {
    launch(stream, split.shape(y.rows()), copy_columns_kernel<decltype(whole)::value>, x.as<float>() + first, x_dim,
           sharing, split, y.rows(), count, y.as<float>() + to, y_dim);
  });
}
CudaOp<CopyColumnsFn> copy_columns = run_copy_columns;

}  // namespace switchyard::cuda
