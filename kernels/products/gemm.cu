// Dense products: cuBLASLt's where its rows keep their bits, otherwise our own.
#include <map>
#include <mutex>

#include "base/device.h"
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

DenseShape shape_of(const Stream& stream, const Matrix& w) {
  return {stream.device_index, w.n, w.k, w.operand};
}

/// cuBLASLt's product for this shape, or null where our own is to be used. Decided at the first use; a line in the log
/// says so.
const CublasProduct* cublas_product(const Stream& stream, const Matrix& w) {
  static std::mutex mutex;
  static std::map<DenseShape, std::unique_ptr<const CublasProduct>> decisions;
  const std::lock_guard lock(mutex);
  const DenseShape shape = shape_of(stream, w);
  if (const auto known = decisions.find(shape); known != decisions.end()) return known->second.get();
  std::unique_ptr<const CublasProduct> found = CublasProduct::find(shape);
  if (found == nullptr) {
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

// It does not know slabs. And its one algorithm for every number of rows takes large tiles: of few columns, as the
// router's, a few rows would keep one multiprocessor busy. Ours has others, and is faster with many rows too (by 9 %
// on an H200, n = 128).
bool may_be_cublas(Layout layout, const DenseShape& shape) {
  constexpr int64_t kFewColumns = 256, kMultiple = 8;
  return layout == Layout::rows && shape.n % kMultiple == 0 && shape.k % kMultiple == 0 &&
         (shape.operand == DType::bf16 || shape.n > kFewColumns);
}

std::string dense_algorithm(int device_index, int64_t n, int64_t k, DType operand) {
  use_device(device_index);
  const DeviceStream device(device_index);
  const DenseShape shape{device_index, n, k, operand};
  if (!may_be_cublas(layout_for(device.over({}), operand), shape)) return {};
  const std::unique_ptr<const CublasProduct> found = CublasProduct::find(shape);
  return found == nullptr ? "" : found->name();
}

void own_gemm_in_tiles(const Stream& stream, ConstView x, const PackedMatrix& packed, GemmOutput output, View y,
                       int32_t tile_rows) {
  const Matrix& w = packed.on_cuda();
  check_shapes(x, w, y);
  const Epilogue epilogue = output == GemmOutput::store ? Epilogue::store : Epilogue::add;
  dense_product(stream, x, w, tile_rows, {.epilogue = epilogue, .y = y.data, .y_stride = w.n});
}

void own_gemm(const Stream& stream, ConstView x, const PackedMatrix& w, GemmOutput output, View y) {
  own_gemm_in_tiles(stream, x, w, output, y, tile_rows_for(w.on_cuda(), x.rows(), 1, w.n()));
}

static void run_gemm(const Stream& stream, ConstView x, const PackedMatrix& packed, GemmOutput output, View y) {
  const Matrix& w = packed.on_cuda();
  check_shapes(x, w, y);
  if (x.rows() == 0) return;
  if (!may_be_cublas(w.layout, shape_of(stream, w))) return own_gemm(stream, x, packed, output, y);
  const CublasProduct* cublas = cublas_product(stream, w);
  if (cublas == nullptr) return own_gemm(stream, x, packed, output, y);
  constexpr uintptr_t kAlignment = 16;
  SWITCHYARD_CHECK(
      reinterpret_cast<uintptr_t>(x.data) % kAlignment == 0 && reinterpret_cast<uintptr_t>(y.data) % kAlignment == 0,
      "gemm: x at {}, y at {}", x.data, y.data);
  cublas->run(stream, x.data, x.rows(), w, output, y.as<float>());
}
CudaOp<GemmFn> gemm = run_gemm;

}  // namespace switchyard::cuda
