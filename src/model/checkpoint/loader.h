// From a checkpoint to weights in memory.
#pragma once

#include <string>
#include <vector>

#include "base/hash.h"
#include "base/stream.h"
#include "exchange/placement.h"
#include "model/checkpoint/part_reader.h"
#include "model/checkpoint/tensor_table.h"
#include "model/weights.h"

namespace switchyard {

struct LoadedModel {
  ModelWeights weights;
  std::vector<PartHash> hashes;  ///< of what this rank read, dense parts included
  uint64_t bytes_read = 0;
};

/// Reads a head that is stored although it is tied, and the embeddings, and compares them. Fails (input) with the
/// first weight that differs; says so in a line where none does. It is no part of the model's hash: the model is the
/// same without it.
void check_tied_copy(const TensorTable& table);

/// Reads and packs the experts of `rank` and all dense parts on the stream's device, in parallel, each byte once; codes
/// become numbers on the way (weight_format.h), which an operand in bf16 rounds as it rounds stored ones. Weights that
/// are NaN or infinite (also: that overflow when rounded to the operand) are refused (input) naming the tensor and the
/// index. Rank 0 checks a tied head's copy as well.
LoadedModel load_model(const Stream& stream, const TensorTable& table, DType operand, const ExpertPlacement& placement,
                       int rank);

/// Bytes that load_model will hold on the device at the end, and at most of the host's on top of that while it reads
/// with `threads` threads.
struct WeightBytes {
  size_t resident = 0, scratch = 0;
};
WeightBytes predict_weight_bytes(const ModelConfig& config, DType operand, int64_t local_experts, int threads,
                                 Device device = Device::cpu);

}  // namespace switchyard
