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

/// cuBLASLt's product with one algorithm for every number of rows: no split along k, no TF32, no workspace.
class CublasProduct {
 public:
  /// For W's shape on the stream's device; null where cuBLASLt has no such algorithm, or the shape is not a multiple of
  /// 8. Rows' bits may still depend on their number: keeps_row_bits() looks.
  static std::unique_ptr<const CublasProduct> find(const Stream& stream, const Matrix& w);
  virtual ~CublasProduct() = default;

  /// x: [rows, k], y: [rows, n] f32, both with room for whole row buckets, at multiples of 16 bytes.
  virtual void run(const Stream& stream, const void* x, int64_t rows, const Matrix& w, GemmOutput output,
                   float* y) const = 0;
};

/// Of the check below, in the stream's workspace: y [kRows, n] f32, then x [kRows, k].
struct RowBitsWorkspace {
  static constexpr int64_t kRows = 1024;
  size_t x, bytes;
  RowBitsWorkspace(int64_t n, int64_t k, DType operand)
      : x(static_cast<size_t>(kRows * n) * sizeof(float)),
        bytes(x + static_cast<size_t>(kRows * k) * size_of(operand)) {}
};
/// Whether random rows get the same bits at several places among several numbers of rows. Waits for the stream.
bool keeps_row_bits(const Stream& stream, const CublasProduct& product, const Matrix& w);

}  // namespace switchyard::cuda
