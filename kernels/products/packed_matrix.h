// A weight matrix, rearranged once for the backend's products.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/stream.h"
#include "base/tensor.h"
#include "kernels/rows/members.h"

namespace switchyard {

namespace cuda {
struct Matrix;
}

/// Which of W's rows stand side by side. gate_up: W holds f rows of gate, then f of up; rows of the same column stand
/// close together, so that a product's tile holds both.
enum class RowOrder : uint8_t { plain, gate_up };

/// W [n, k] (n outputs, k inputs: the layout of `nn.Linear.weight`) packed for y = x Wᵀ. Move-only; owns its memory, on
/// the device it was packed for.
///
/// operand: the type in which products take x and W: f32, or bf16 with f32 accumulation. Where the instruction set has
/// no bf16 products, bf16 weights are kept as bf16 and widened panel by panel.
class PackedMatrix {
 public:
  PackedMatrix();
  explicit PackedMatrix(std::shared_ptr<const cuda::Matrix> matrix);  ///< cuda/matrix.h makes them
  PackedMatrix(PackedMatrix&&) noexcept;
  PackedMatrix& operator=(PackedMatrix&&) noexcept;
  ~PackedMatrix();

  /// source: [n, k] f32; rounded to bf16 (nearest even) if that is the operand. Safe to call from several threads.
  /// Beside the result it takes, for a moment, at most four f32 copies of 512 rows.
  static PackedMatrix pack(ConstView source, DType operand, RowOrder order = RowOrder::plain);
  /// The same on the stream's device, where the source may lie too. One on the host may be changed once this returns;
  /// on a CUDA device the matrix is there when the stream has come so far.
  static PackedMatrix pack(const Stream& stream, ConstView source, DType operand, RowOrder order = RowOrder::plain);
  /// One on the CPU whose elements are undefined until it is written over.
  static PackedMatrix uninitialised(int64_t n, int64_t k, DType operand, RowOrder order = RowOrder::plain);
  /// One without memory, which has the bytes that pack() would allocate (after CpuIsa is set).
  static PackedMatrix of_shape(int64_t n, int64_t k, DType operand, RowOrder order, Device device);

  /// Writes another matrix over this one, which lies on the CPU: the bytes are then those of pack(). A panel is a task
  /// of the stream; without one (null) the caller does it all, as a task of its own. source: [n, k] f32
  void rewrite(const Stream* stream, ConstView source);
  /// The same of some rows alone, from first_row on, in RowOrder::plain. source: [rows, k] f32; kRowsTogether divides
  /// first_row, and rows unless they are the last.
  void rewrite_rows(const Stream* stream, ConstView source, int64_t first_row);
  static constexpr int64_t kRowsTogether = 512;
  /// The same of the source's transpose, of which no copy is made. source: [k, n] f32
  void rewrite_transposed(const Stream* stream, ConstView source);

  /// Some elements of rows [first_row, first_row + rows) anew, of one that lies on the CPU; by the caller alone. bits:
  /// of the rows' elements [rows, k], row by row, from the first one's on (not all); values: theirs, one after the
  /// other, f32
  void write_members(int64_t first_row, int64_t rows, const ElementBits& bits, const float* values);
  /// The same of inputs [first_row, first_row + rows): rows of its transpose, bits and values as these have them,
  /// [rows, n].
  void write_members_transposed(int64_t first_row, int64_t rows, const ElementBits& bits, const float* values);
  /// Whether several threads may do so at once, each of other elements.
  bool takes_members_side_by_side() const;

  /// The matrix itself again, as far as the operand holds it, of one that lies on the CPU; by the caller alone.
  /// values: [rows, k] f32; first_row, rows: as for rewrite_rows(), or all of them in any order of rows.
  void read_rows(int64_t first_row, View values) const;

  int64_t n() const;
  int64_t k() const;
  DType operand() const;
  size_t bytes() const;  ///< 0 of one that is nothing
  /// True of one that holds nothing.
  bool lies_on(Device device) const { return device == Device::cpu ? cuda_ == nullptr : impl_ == nullptr; }

  struct Impl;
  const Impl& impl() const { return *impl_; }             ///< on the CPU
  const cuda::Matrix& on_cuda() const { return *cuda_; }  ///< on a CUDA device

 private:
  explicit PackedMatrix(std::unique_ptr<Impl> impl);
  void write(const Stream* stream, const float* source, int64_t row_stride, int64_t column_stride, int64_t first_row,
             int64_t rows);
  template <class Visit>
  void visit_places(const Visit& visit);
  std::unique_ptr<Impl> impl_;
  std::shared_ptr<const cuda::Matrix> cuda_;
};

}  // namespace switchyard
