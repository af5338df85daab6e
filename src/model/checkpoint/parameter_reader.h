// Reads the model's tensors of a checkpoint as f32 values, whatever they are stored as and however they lie there.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/stream.h"
#include "model/checkpoint/part_reader.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// What is done with a tensor. values: f32, of the tensor's shape (its parameters one below the other), on the host,
/// valid during the call alone.
using VisitValues = std::function<void(const StoredTensor& tensor, ConstView values)>;

struct PartsRead {
  std::vector<PartHash> hashes;             ///< of every part that was read
  std::vector<PartHash> hashes_of_masters;  ///< of those that had f32 values in place of stored ones
  uint64_t bytes = 0;
};

/// A part as f32, [out, in], by a reader that is opened here and to be closed. rows: scratch.
void read_part(PartReader& reader, const TensorPart& part, DType operand, std::vector<float>& rows,
               std::span<float> out);

/// Reads whatever for_each_tensor(config, experts, weights) visits, each byte once, and gives it to `visit`: first the
/// tensors of no layer one after the other (they are the largest), then those of layers on the stream's threads,
/// several at once. What of a tensor's rows is kept (a rank's share, in f32 or packed) is the visitor's choice; parts
/// are read whole, for their hashes are of all their bytes. Codes become numbers on the way (weight_format.h). Weights
/// that are NaN or infinite (also: that overflow when rounded to what `operand` makes of their tensor) are refused
/// (input) naming the tensor and the index.
PartsRead read_parameters(const Stream& stream, const TensorTable& table, DType operand, std::span<const int> experts,
                          ModelWeights* weights, const VisitValues& visit, ReadValues values = ReadValues::stored);

/// Bytes of the host's that a thread holds while it reads this tensor, the values for its visitor included.
size_t reading_bytes(const ModelConfig& config, const StoredTensor& tensor);

}  // namespace switchyard
