// Weights on the device.
#pragma once

#include <cstdint>
#include <memory>

#include "base/dtype.h"
#include "base/memory.h"
#include "base/stream.h"
#include "base/tensor.h"
#include "kernels/cuda/slab.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard::cuda {

/// RowOrder::gate_up on the device: 8 rows of gate, then up's 8 of the same columns, and so on: a thread that holds a
/// column of gate in a tensor-core tile holds up's in the next one.
inline constexpr int64_t kGateUpBlock = 8;

/// How a Matrix lies in memory, and with it which kernel multiplies it.
///   rows:        row by row.
///   slabs:       in slabs of 128 rows, 64 columns (cuda/warpgroup_product.h), those of the same rows side by side:
///   bf16
///                on Hopper, whose warpgroups multiply it (product_slabs.cu).
///   slabs_of_64: the same, for a device on which bits depend on how many entries an instruction multiplies with it:
///   64,
///                whatever there are.
enum class Layout : uint8_t { rows, slabs, slabs_of_64 };

constexpr int64_t rounded_up(int64_t x, int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

/// W [n, k]. Rows and columns are padded with zeros, so that products read whole tiles of it.
struct Matrix {
  int64_t n = 0, k = 0;
  DType operand = DType::f32;
  RowOrder order = RowOrder::plain;
  Layout layout = Layout::rows;
  Memory memory;

  static constexpr int64_t kRowMultiple = 128, kColumnMultiple = 64;
  int64_t padded_n() const { return rounded_up(n, kRowMultiple); }
  int64_t padded_k() const { return rounded_up(k, kColumnMultiple); }
  size_t bytes() const { return static_cast<size_t>(padded_n() * padded_k()) * size_of(operand); }  ///< of its memory
  View storage() const { return {memory.data(), {padded_n(), padded_k()}, operand, Device::cuda}; }
};

/// Of row r's column c, in elements from the beginning of the memory. 128 rows lie together in every layout.
constexpr int64_t storage_offset(Layout layout, int64_t padded_k, int64_t r, int64_t c) {
  if (layout == Layout::rows) return r * padded_k + c;
  const int64_t slab = r / Matrix::kRowMultiple * (padded_k / kSlabColumns) + c / kSlabColumns;
  const auto row = static_cast<int>(r % Matrix::kRowMultiple), column = static_cast<int>(c % kSlabColumns);
  return slab * (Matrix::kRowMultiple * kSlabColumns) + slab_offset(row, column / kSlabChunk) + column % kSlabChunk;
}

/// The one that this device's products are fastest with. Safe to call from several threads.
Layout layout_for(const Stream& stream, DType operand);

/// Which row of W [n, k] stands at row `r` of its storage; −1: none, it is zero.
constexpr int64_t source_row(RowOrder order, int64_t n, int64_t r) {
  if (order == RowOrder::plain) return r < n ? r : -1;
  const int64_t f = n / 2, in_block = r % (2 * kGateUpBlock);
  const int64_t column = r / (2 * kGateUpBlock) * kGateUpBlock + in_block % kGateUpBlock;
  if (column >= f) return -1;
  return in_block < kGateUpBlock ? column : f + column;
}

/// A matrix of zeros. Its memory may be filled where source_row has a row, and nowhere else.
std::shared_ptr<Matrix> zero_matrix(const Stream& stream, int64_t n, int64_t k, DType operand, RowOrder order,
                                    Layout layout);

/// source: [n, k] f32. On the host it may be changed once this returns; on the device, by later work of the stream.
/// From any thread.
std::shared_ptr<const Matrix> pack_matrix(const Stream& stream, ConstView source, DType operand, RowOrder order,
                                          Layout layout);

/// Fills a zero_matrix() from a source on the device, rounding to the nearest even.   (pack.cu)
void fill_matrix(const Stream& stream, ConstView source, const Matrix& matrix);

}  // namespace switchyard::cuda
