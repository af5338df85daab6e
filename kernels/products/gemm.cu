// Dense products: cuBLASLt's where its rows keep their bits, otherwise our own.
#include <map>
#include <mutex>

#include "base/log.h"
#include "kernels/products/cuda/dense.h"
#include "kernels/products/cuda/product.h"
#include "kernels/products/gemm.h"

namespace switchyard::cuda {
namespace {

void check_shapes(ConstView x, const Matrix& w, View y) {
  SWITCHYARD_CHECK(x.dtype == w.operand && x.row_elements() == w.k && y.rows() == x.rows() && y.row_elements() == w.n &&
                       y.dtype == DType::f32 && w.order == RowOrder::plain,
                   "gemm: x {} {}, w {} [{}, {}], y {} {}", name_of(x.dtype), x.shape.str(), name_of(w.operand), w.n,
                   w.k, name_of(y.dtype), y.shape.str());
}

struct DenseShape {
  int device_index;
  int64_t n, k;
  DType operand;
  auto operator<=>(const DenseShape&) const = default;
};

/// cuBLASLt's product for this shape, or null where our own is to be used. Decided at the first use; a line in the log
/// says so where cuBLASLt could have been expected to do it.
const CublasProduct* cublas_product(const Stream& stream, const Matrix& w) {
  static std::mutex mutex;
  static std::map<DenseShape, std::unique_ptr<const CublasProduct>> decisions;
  const std::lock_guard lock(mutex);
  const DenseShape shape{stream.device_index, w.n, w.k, w.operand};
  if (const auto known = decisions.find(shape); known != decisions.end()) return known->second.get();
  std::unique_ptr<const CublasProduct> found = CublasProduct::find(stream, w);
  const bool multiple = w.n % 8 == 0 && w.k % 8 == 0;
  if (found == nullptr && multiple) {
    log::warning("products of {} [{}, {}]: cuBLASLt {} has no algorithm for every number of rows; our own is used",
                 name_of(w.operand), w.n, w.k, cublas_version());
  } else if (found != nullptr && !keeps_row_bits(stream, *found, w)) {
    log::warning("products of {} [{}, {}]: with cuBLASLt {} a row's bits depend on other rows; our own is used",
                 name_of(w.operand), w.n, w.k, cublas_version());
    found = nullptr;
  }
  return decisions.emplace(shape, std::move(found)).first->second.get();
}

}  // namespace

void own_gemm_in_tiles(const Stream& stream, ConstView x, const PackedMatrix& packed, GemmOutput output, View y,
                       int32_t tile_rows) {
  const Matrix& w = packed.on_cuda();
  check_shapes(x, w, y);
  const void* const weights[] = {w.memory.data()};
  product(stream, {.operand = x.dtype,
                   .layout = w.layout,
                   .x = x.data,
                   .x_stride = w.k,
                   .k = w.k,
                   .weights = weights,
                   .n = w.n,
                   .padded_k = w.padded_k(),
                   .entries = x.rows(),
                   .tile_rows = tile_rows,
                   .epilogue = output == GemmOutput::store ? Epilogue::store : Epilogue::add,
                   .output = DType::f32,
                   .y = y.data,
                   .y_stride = w.n});
}

void own_gemm(const Stream& stream, ConstView x, const PackedMatrix& w, GemmOutput output, View y) {
  own_gemm_in_tiles(stream, x, w, output, y, tile_rows_for(w.on_cuda(), x.rows(), 1, w.n()));
}

void gemm(const Stream& stream, ConstView x, const PackedMatrix& packed, GemmOutput output, View y) {
  const Matrix& w = packed.on_cuda();
  check_shapes(x, w, y);
  if (x.rows() == 0) return;
  // It does not know slabs. And its one algorithm for every number of rows takes large tiles: of few columns, as the
  // router's, a few rows would keep one multiprocessor busy. Ours has others, and is faster with many rows too (by 9 %
  // on an H200, n = 128).
  constexpr int64_t kFewColumns = 256;
  if (w.layout != Layout::rows || (w.operand == DType::f32 && w.n <= kFewColumns))
    return own_gemm(stream, x, packed, output, y);
  const CublasProduct* cublas = cublas_product(stream, w);
  if (cublas == nullptr) return own_gemm(stream, x, packed, output, y);
  constexpr uintptr_t kAlignment = 16;
  SWITCHYARD_CHECK(
      reinterpret_cast<uintptr_t>(x.data) % kAlignment == 0 && reinterpret_cast<uintptr_t>(y.data) % kAlignment == 0,
      "gemm: x at {}, y at {}", x.data, y.data);
  cublas->run(stream, x.data, x.rows(), w, output, y.as<float>());
}

}  // namespace switchyard::cuda
