#include <cstring>
#include <vector>

#include "base/cuda_call.h"
#include "base/device.h"
#include "base/rng.h"
#include "kernels/products/cuda/dense.h"

namespace switchyard::cuda {
namespace {

constexpr int64_t kProbes = 7;
constexpr uint64_t kSeed = 0x726f7773;

/// Row `r` of a matrix of random rows. Rows differ in size, so that sums in another order show.
void fill_row(int64_t r, int64_t k, DType operand, std::byte* to) {
  const auto seed = kSeed + static_cast<uint64_t>(r);
  for (int64_t i = 0; i < k; ++i) {
    const float value = 2 * random_uniform(seed, static_cast<uint64_t>(i)) - 1;
    if (operand == DType::bf16) {
      const BFloat16 rounded = to_bfloat16(value);
      std::memcpy(to + i * 2, &rounded, 2);
    } else {
      std::memcpy(to + i * 4, &value, 4);
    }
  }
}

/// Where probe i stands among `rows` rows: spread, in another order for each `shift`, the last row among them.
int64_t place(int64_t i, int64_t rows, int64_t shift) {
  return i == 0 ? rows - 1 : (i * 37 + shift * 53) % (rows - 1);
}

}  // namespace

bool keeps_row_bits(const Stream& stream, const CublasProduct& product, const Matrix& w) {
  constexpr int64_t kMostRows = RowBitsWorkspace::kRows;
  std::vector<int64_t> row_counts = {kRowBucket};  // the first one twice, at other places
  for (int64_t rows = kRowBucket; rows <= kMostRows; rows += kRowBucket) row_counts.push_back(rows);
  const RowBitsWorkspace workspace(w.n, w.k, w.operand);
  SWITCHYARD_CHECK(stream.workspace.size() >= workspace.bytes, "gemm [{}, {}]: a workspace of {} bytes, {} wanted", w.n,
                   w.k, stream.workspace.size(), workspace.bytes);
  const size_t x_row = static_cast<size_t>(w.k) * size_of(w.operand), y_row = static_cast<size_t>(w.n) * sizeof(float);
  std::byte* y = stream.workspace.data();
  std::byte* x = y + workspace.x;
  std::vector<std::byte> host(x_row * kMostRows), want(y_row * kProbes), got(y_row * kProbes);
  for (int64_t shift = 0; const int64_t rows : row_counts) {
    for (int64_t r = 0; r < rows; ++r) fill_row(1000 * (shift + 1) + r, w.k, w.operand, host.data() + r * x_row);
    for (int64_t i = 0; i < kProbes; ++i) fill_row(i, w.k, w.operand, host.data() + place(i, rows, shift) * x_row);
    SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(x, host.data(), rows * x_row, cudaMemcpyHostToDevice, stream.cuda));
    product.run(stream, x, rows, w, GemmOutput::store, reinterpret_cast<float*>(y));
    for (int64_t i = 0; i < kProbes; ++i)
      SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(got.data() + i * y_row, y + place(i, rows, shift) * y_row, y_row,
                                           cudaMemcpyDeviceToHost, stream.cuda));
    synchronize(stream);
    if (shift == 0) want = got;
    if (got != want) return false;
    ++shift;
  }
  return true;
}

}  // namespace switchyard::cuda
