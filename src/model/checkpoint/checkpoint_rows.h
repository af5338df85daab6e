// Rows of a checkpoint's parameters, whichever are asked for, however they lie there.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/checkpoint/parameter_reader.h"

namespace switchyard {

/// A RowSource (export_plan.h). Holds, beside a list of the parameters, one matrix at a time where matrices are stored
/// turned or as codes; else what is asked for. Not thread-safe.
class CheckpointRows {
 public:
  explicit CheckpointRows(const TensorTable& table, ReadValues values = ReadValues::stored);

  /// As f32. Fails (input) on weights that are NaN or infinite, naming tensor and index.
  void operator()(const ParameterRows& rows, std::span<float> out);

 private:
  /// Where a parameter is: one of those that lie one below the other in a tensor.
  struct Home {
    StoredTensor tensor;
    size_t part = 0;
    int64_t first_row = 0;  ///< of the parameter, in the tensor
  };

  void read_direct(const StoredMatrix& matrix, uint64_t first, std::span<float> out);
  std::span<const float> whole(const TensorPart& part);

  const TensorTable& table_;
  const DeltaFile* const masters_;  ///< f32 values in place of stored ones; null: none
  std::unordered_map<std::string, Home> homes_;
  PartReader reader_;
  std::string whole_id_;  ///< of the part that whole_ has
  std::vector<float> whole_, rows_;
  std::vector<std::byte> stored_;
};

}  // namespace switchyard
