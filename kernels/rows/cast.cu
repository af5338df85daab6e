#include "kernels/cuda/rows.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cast.h"

namespace switchyard::cuda {
namespace {

/// A quad a thread.
template <class From, class To, bool kWhole>
__global__ void cast_kernel(const From* x, To* y, int64_t count) {
  const int64_t i = (int64_t{blockIdx.x} * kRowThreads + threadIdx.x) * kQuad;
  if (i < count) store_quad<kWhole>(y + i, load_quad<kWhole>(x + i, count - i), count - i);
}

}  // namespace

static void run_cast(const Stream& stream, ConstView x, View y) {
  SWITCHYARD_CHECK(x.shape == y.shape, "cast: x {}, y {}", x.shape.str(), y.shape.str());
  const int64_t count = x.elements();
  const LaunchShape shape{blocks_for(quads_of(count), kRowThreads), kRowThreads};
  with_float_type(x.dtype, "cast", [&](auto from) {
    with_float_type(y.dtype, "cast", [&](auto to) {
      with_bool(whole_quads(count, {x, y}), [&](auto whole) {  // all elements are one row
        using From = decltype(from);
        using To = decltype(to);
        launch(stream, shape, cast_kernel<From, To, decltype(whole)::value>, x.as<From>(), y.as<To>(), count);
      });
    });
  });
}
CudaOp<CastFn> cast = run_cast;

}  // namespace switchyard::cuda
