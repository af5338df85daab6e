#include "kernels/cuda/rows.h"
#include "kernels/row_blocks.h"
#include "kernels/swiglu.h"

namespace switchyard::cuda {
namespace {

__device__ float swiglu_of(float gate, float up) {
  return gate / (expf(-gate) + 1.0f) * up;
}

template <class T, bool kWhole>
__global__ void swiglu_kernel(const float* h, RowSplit split, int64_t rows, int64_t f, T* y) {
  const RowShare share = row_share(split);
  if (share.row >= rows) return;
  const float* gate = h + share.row * 2 * f;
  const float* up = gate + f;
  for (int64_t i = share.first * kQuad; i < f; i += share.step * kQuad) {
    const float4 g = load_quad<kWhole>(gate + i, f - i), u = load_quad<kWhole>(up + i, f - i);
    store_quad<kWhole>(y + share.row * f + i,
                       make_float4(swiglu_of(g.x, u.x), swiglu_of(g.y, u.y), swiglu_of(g.z, u.z), swiglu_of(g.w, u.w)),
                       f - i);
  }
}

}  // namespace

void swiglu(const Stream& stream, ConstView h, View y) {
  const int64_t rows = y.rows(), f = y.row_elements();
  SWITCHYARD_CHECK(h.rows() == rows && h.row_elements() == 2 * f, "swiglu: h {}, y {}", h.shape.str(), y.shape.str());
  const RowSplit split = RowSplit::of(quads_of(f));
  with_float_type(y.dtype, "swiglu", [&](auto element) {
    with_bool(whole_quads(f, {h, y}), [&](auto whole) {
      using T = decltype(element);
      launch(stream, split.shape(rows), swiglu_kernel<T, decltype(whole)::value>, h.as<float>(), split, rows, f,
             y.as<T>());
    });
  });
}

}  // namespace switchyard::cuda
