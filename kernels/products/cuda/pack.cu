// A matrix from values that are on the device already.
#include "kernels/cuda/launch.h"
#include "kernels/products/cuda/matrix.h"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 256;

__device__ void store(float* to, float value) {
  *to = value;
}
__device__ void store(BFloat16* to, float value) {
  *to = to_bfloat16(value);
}

/// A block a row of the storage.
template <class T>
__global__ void fill_matrix_kernel(const float* source, RowOrder order, Layout layout, int64_t n, int64_t k,
                                   int64_t padded_k, T* to) {
  const int64_t from = source_row(order, n, blockIdx.x);
  if (from < 0) return;
  for (int64_t c = threadIdx.x; c < k; c += kThreads)
    store(to + storage_offset(layout, padded_k, blockIdx.x, c), source[from * k + c]);
}

}  // namespace

void fill_matrix(const Stream& stream, ConstView source, const Matrix& matrix) {
  SWITCHYARD_CHECK(source.rows() == matrix.n && source.row_elements() == matrix.k, "a matrix [{}, {}] from {}",
                   matrix.n, matrix.k, source.shape.str());
  const LaunchShape shape{blocks_for(matrix.padded_n(), 1), kThreads};
  const View storage = matrix.storage();
  const auto* values = source.as<float>();
  if (matrix.operand == DType::bf16)
    launch(stream, shape, fill_matrix_kernel<BFloat16>, values, matrix.order, matrix.layout, matrix.n, matrix.k,
           matrix.padded_k(), storage.as<BFloat16>());
  else
    launch(stream, shape, fill_matrix_kernel<float>, values, matrix.order, matrix.layout, matrix.n, matrix.k,
           matrix.padded_k(), storage.as<float>());
}

}  // namespace switchyard::cuda
