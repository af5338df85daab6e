// Fisher information of a model's parameters: Σ over records of the square of the gradient of the record's log
// probability, each parameter's by itself (never the square of a sum over records).
//
// With labels drawn from the model's own softmax its mean is the true Fisher information's diagonal (Kunstner et al.
// 2019), cross terms between a record's positions being zero on average; with the data's labels it is the empirical
// one. A batch's slice is a record, so that the squares are taken where a slice's part of a gradient is summed.
#pragma once

#include "train/pass_engine.h"

namespace switchyard {

class FisherPass : public PassEngine {
 public:
  /// shape.squares: true.
  FisherPass(Communicator& world, const ModelConfig& config, const TrainMemoryRequest& shape,
             std::function<void()> poll = {}, Pulse* pulse = nullptr);

  /// Adds the squares of a batch's records, at most one a slice, to the shards' sums. Collective over the world.
  StepLosses add(const StepBatch& batch);
};

}  // namespace switchyard
