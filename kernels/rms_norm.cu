#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/rms_norm.h"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 256;

__device__ void store(float* to, float value) {
  *to = value;
}
__device__ void store(BFloat16* to, float value) {
  *to = to_bfloat16(value);
}

/// A block a row.
template <class T>
__global__ void rms_norm_kernel(const float* x, const float* weight, float eps, int64_t dim, T* y) {
  SharedMemory shared;
  const auto partial = shared.take<float>(kThreads / kWarp);
  const float* row = x + blockIdx.x * dim;
  T* out = y + blockIdx.x * dim;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < dim; i += kThreads) squares = fmaf(row[i], row[i], squares);
  const float scale = 1 / sqrtf(block_sum(squares, partial) / static_cast<float>(dim) + eps);
  for (int64_t i = threadIdx.x; i < dim; i += kThreads) store(out + i, row[i] * scale * weight[i]);
}

}  // namespace

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK(weight.elements() == dim && y.rows() == rows && y.row_elements() == dim,
                   "rms_norm: x {}, weight {}, y {}", x.shape.str(), weight.shape.str(), y.shape.str());
  const LaunchShape shape{blocks_for(rows, 1), kThreads, SharedLayout().add<float>(kThreads / kWarp).bytes()};
  if (y.dtype == DType::bf16) {
    launch(stream, shape, rms_norm_kernel<BFloat16>, x.as<float>(), weight.as<float>(), eps, dim, y.as<BFloat16>());
  } else {
    launch(stream, shape, rms_norm_kernel<float>, x.as<float>(), weight.as<float>(), eps, dim, y.as<float>());
  }
}

}  // namespace switchyard::cuda
