#include "kernels/products/cuda/matrix.h"

#include <algorithm>

#include "base/cuda_call.h"
#include "base/device.h"
#include "base/staging.h"

namespace switchyard::cuda {
namespace {

void convert(const float* from, int64_t count, float* to) {
  std::copy_n(from, count, to);
}
void convert(const float* from, int64_t count, BFloat16* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = to_bfloat16(from[i]);
}

/// Rows [first, first + count) of the storage, of whole slabs or any, to where the first one's memory begins.
template <class T>
void fill_rows(const Matrix& matrix, const float* source, int64_t first, int64_t count, T* to) {
  const int64_t padded_k = matrix.padded_k();
  const int64_t run = matrix.layout == Layout::rows ? padded_k : kSlabChunk;  // columns that lie side by side
  for (int64_t r = first; r < first + count; ++r) {
    const int64_t from = source_row(matrix.order, matrix.n, r), columns = from < 0 ? 0 : matrix.k;
    for (int64_t c = 0; c < padded_k; c += run) {
      T* place = to + storage_offset(matrix.layout, padded_k, r - first, c);
      const int64_t there = std::clamp<int64_t>(columns - c, 0, run);
      if (there > 0) convert(source + from * matrix.k + c, there, place);
      std::fill(place + there, place + run, T{});
    }
  }
}

std::shared_ptr<Matrix> new_matrix(const Stream& stream, int64_t n, int64_t k, DType operand, RowOrder order,
                                   Layout layout) {
  SWITCHYARD_CHECK(n >= 1 && k >= 1 && (operand == DType::bf16 || (operand == DType::f32 && layout == Layout::rows)),
                   "a matrix of {} outputs, {} inputs, {}", n, k, name_of(operand));
  use_device(stream.device_index);
  auto matrix = std::make_shared<Matrix>();
  *matrix = {n, k, operand, order, layout, {}};
  matrix->memory = Memory(matrix->bytes(), Device::cuda);
  return matrix;
}

}  // namespace

std::shared_ptr<Matrix> zero_matrix(const Stream& stream, int64_t n, int64_t k, DType operand, RowOrder order,
                                    Layout layout) {
  auto matrix = new_matrix(stream, n, k, operand, order, layout);
  SWITCHYARD_CUDA_CALL(cudaMemsetAsync(matrix->memory.data(), 0, matrix->memory.size(), stream.cuda));
  return matrix;
}

std::shared_ptr<const Matrix> pack_matrix(const Stream& stream, ConstView source, DType operand, RowOrder order,
                                          Layout layout) {
  if (source.device == Device::cuda) {
    auto matrix = zero_matrix(stream, source.rows(), source.row_elements(), operand, order, layout);
    fill_matrix(stream, source, *matrix);
    return matrix;
  }
  Staging& staging = Staging::of_this_thread();
  const auto* values = source.as<float>();
  auto matrix = new_matrix(stream, source.rows(), source.row_elements(), operand, order, layout);
  const size_t row_bytes = static_cast<size_t>(matrix->padded_k()) * size_of(operand);
  // Slabs go whole.
  const int64_t least = layout == Layout::rows ? 1 : Matrix::kRowMultiple;
  const auto fit = static_cast<int64_t>(Staging::kBytes / 2 / row_bytes);
  const int64_t rows_at_once = std::max(least, fit / least * least);
  // Some rows are written while those before travel.
  for (int64_t first = 0; first < matrix->padded_n(); first += rows_at_once) {
    const int64_t count = std::min(rows_at_once, matrix->padded_n() - first);
    const size_t bytes = static_cast<size_t>(count) * row_bytes;
    std::byte* rows = staging.next(bytes);
    if (operand == DType::bf16)
      fill_rows(*matrix, values, first, count, reinterpret_cast<BFloat16*>(rows));
    else
      fill_rows(*matrix, values, first, count, reinterpret_cast<float*>(rows));
    staging.send(stream, matrix->memory.data() + static_cast<size_t>(first) * row_bytes);
  }
  return matrix;
}

}  // namespace switchyard::cuda
