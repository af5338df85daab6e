#include "kernels/cuda/rows.h"
#include "kernels/rows/add_bias.h"

namespace switchyard::cuda {
namespace {

/// A quad a thread.
template <bool kWhole>
__global__ void add_bias_kernel(const float* bias, RowSplit split, int64_t rows, int64_t dim, float* y) {
  const RowShare share = row_share(split);
  if (share.row >= rows) return;
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad) {
    float* to = y + share.row * dim + i;
    const float4 v = load_quad<kWhole>(to, dim - i), b = load_quad<kWhole>(bias + i, dim - i);
    store_quad<kWhole>(to, make_float4(v.x + b.x, v.y + b.y, v.z + b.z, v.w + b.w), dim - i);
  }
}

}  // namespace

static void run_add_bias(const Stream& stream, ConstView bias, View y) {
  const int64_t dim = y.row_elements();
  SWITCHYARD_CHECK(bias.elements() == dim, "add_bias: bias {}, y {}", bias.shape.str(), y.shape.str());
  const RowSplit split = RowSplit::of(quads_of(dim));
  with_bool(whole_quads(dim, {bias, y}), [&](auto whole) {
    launch(stream, split.shape(y.rows()), add_bias_kernel<decltype(whole)::value>, bias.as<float>(), split, y.rows(),
           dim, y.as<float>());
  });
}
CudaOp<AddBiasFn> add_bias = run_add_bias;

}  // namespace switchyard::cuda
