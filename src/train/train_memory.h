// Memory of one rank of a training run, predicted before anything is allocated: the pass itself runs on shapes alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config/model_config.h"
#include "model/decoder.h"
#include "train/pass/train_pass.h"

namespace switchyard {

struct TrainMemoryRequest {
  DType operand = DType::f32;
  int world_size = 1, ep = 1, threads = 1;
  int64_t num_slices = 1;
  int64_t rank_tokens = 0, slice_tokens = 0, longest = 0;  ///< at most: of a rank in a step, of a slice, of a record
  int64_t batch_tokens = 0, exchange_bytes = 0;
  DecoderLimits evaluation = {};                ///< max_tokens: 0: there is none
  double trained = 1;                           ///< the share of all parameters that train
  bool anchored = false;                        ///< what trains is held to where it was
  bool squares = false, keep_products = false;  ///< see TrainPassOptions

  TrainPassOptions pass_options(double balance) const;
  std::span<const StateValues> state() const {
    if (squares) return kSquaresState;
    return kOptimiserState;
  }
};

/// Bytes of the rank that takes most.
struct TrainMemory {
  size_t weights = 0;      ///< as products take them, and transposed
  size_t state = 0;        ///< f32 masters, moments and gradients of what the rank owns
  size_t activations = 0;  ///< the arena: of a step, or of an evaluation
  size_t sums = 0;         ///< of gradients on their way to who owns them
  size_t scratch = 0;      ///< of the kernels; tables; the exchange's bookkeeping
  size_t files = 0;        ///< while the model is read, or a checkpoint is written

  size_t peak() const;
};

TrainMemory plan_train_memory(const ModelConfig& config, const TrainMemoryRequest& request);

}  // namespace switchyard
