// Internal to kernels/ and its tests: the two ways of a dense product.
#pragma once

#include <memory>
#include <string>

#include "kernels/products/cuda/matrix.h"
#include "kernels/products/gemm.h"

namespace switchyard::cuda {

/// y (+)= x Wᵀ with our own fixed tiles.
GemmFn own_gemm;
/// The same with tiles of `tile_rows` rows, one of tile_shapes(operand, layout, k). The bits are the same for all.
void own_gemm_in_tiles(const Stream& stream, ConstView x, const PackedMatrix& w, GemmOutput output, View y,
                       int32_t tile_rows);

/// W [n, k] of a dense product on a device.
struct DenseShape {
  int device_index = 0;
  int64_t n = 0, k = 0;
  DType operand = DType::f32;
  auto operator<=>(const DenseShape&) const = default;
};

/// Whether cuBLASLt is asked at all; where not, a product is our own whatever the machine.
bool may_be_cublas(Layout layout, const DenseShape& shape);

/// cuBLASLt's product with one algorithm for every number of rows: no split along k, no TF32, no workspace.
class CublasProduct {
 public:
  /// Rows at once: of more the product is made piece by piece, so that cuBLASLt sees no number of rows that
  /// keeps_row_bits() has not tried.
  static constexpr int64_t kMostRows = 1024;

  /// Null where cuBLASLt has no such algorithm. Rows' bits may still depend on their number: keeps_row_bits() looks.
  static std::unique_ptr<const CublasProduct> find(const DenseShape& shape);
  virtual ~CublasProduct() = default;

  /// "algorithm 66, tile 20, stages 10, …": with the version, what the bits depend on.
  virtual std::string name() const = 0;

  /// x: [rows, k], y: [rows, n] f32, both with room for whole row buckets, at multiples of 16 bytes.
  virtual void run(const Stream& stream, const void* x, int64_t rows, const Matrix& w, GemmOutput output,
                   float* y) const = 0;
};

/// Of the check below, in the stream's workspace: y [kRows, n] f32, then x [kRows, k].
struct RowBitsWorkspace {
  static constexpr int64_t kRows = CublasProduct::kMostRows;
  size_t x, bytes;
  RowBitsWorkspace(int64_t n, int64_t k, DType operand)
      : x(static_cast<size_t>(kRows * n) * sizeof(float)),
        bytes(x + static_cast<size_t>(kRows * k) * size_of(operand)) {}
};
/// Whether random rows get the same bits at several places among every number of rows. Waits for the stream.
bool keeps_row_bits(const Stream& stream, const CublasProduct& product, const Matrix& w);

}  // namespace switchyard::cuda
