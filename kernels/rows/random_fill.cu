#include "base/rng.h"
#include "kernels/cuda/rows.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/random_fill.h"

namespace switchyard::cuda {
namespace {

/// A quad a thread.
template <class T, bool kWhole>
__global__ void random_fill_kernel(uint64_t seed, int64_t first_index, float scale, float offset, int64_t count, T* y) {
  const int64_t i = (int64_t{blockIdx.x} * kRowThreads + threadIdx.x) * kQuad;
  if (i >= count) return;
  const auto value = [&](int64_t j) {
    return scale * (2 * random_uniform(seed, static_cast<uint64_t>(first_index + i + j)) - 1) + offset;
  };
  store_quad<kWhole>(y + i, make_float4(value(0), value(1), value(2), value(3)), count - i);
}

}  // namespace

static void run_random_fill(const Stream& stream, uint64_t seed, int64_t first_index, float scale, float offset,
                            View y) {
  const int64_t count = y.elements();
  const LaunchShape shape{blocks_for(quads_of(count), kRowThreads), kRowThreads};
  with_float_type(y.dtype, "random_fill", [&](auto element) {
    with_bool(whole_quads(count, {y}), [&](auto whole) {  // all elements are one row
      using T = decltype(element);
      launch(stream, shape, random_fill_kernel<T, decltype(whole)::value>, seed, first_index, scale, offset, count,
             y.as<T>());
    });
  });
}
CudaOp<RandomFillFn> random_fill = run_random_fill;

}  // namespace switchyard::cuda
