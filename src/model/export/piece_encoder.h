// Pieces of a written model: their values as they come, and as a file has them.
#pragma once

#include <span>
#include <vector>

#include "model/export/export_plan.h"

namespace switchyard {

/// Values as they are stored: rounded to nearest, ties to even.
void round_values(DType dtype, std::span<const float> values, std::vector<std::byte>& out);

/// Owns the buffers: what a call returns is valid until the next one.
class PieceEncoder {
 public:
  /// The values of a piece, one block of rows below the other.
  std::span<const float> fetch(std::span<const ParameterRows> piece, const RowSource& source);

  /// Some of a tensor, in the order in which it lies in the file.
  struct Stored {
    std::span<const float> values;
    std::span<const std::byte> bytes;
  };
  /// A piece of a tensor; first: its place there, in elements. Fails (output) on a value that the tensor's dtype has no
  /// finite number for, naming tensor and index.
  Stored encode(const ExportTensor& tensor, uint64_t first, std::span<const float> values);

 private:
  std::vector<float> fetched_, turned_;
  std::vector<std::byte> encoded_;
};

}  // namespace switchyard
