// A model with all it needs to learn: what goes through it and back, the optimiser, evaluation.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/hash.h"
#include "model/decoder.h"
#include "train/checkpoints/checkpoints.h"
#include "train/evaluation.h"
#include "train/optimiser.h"
#include "train/pass_engine.h"

namespace switchyard {

struct TrainerOptions {
  TrainMemoryRequest shape;  ///< of the world that there is
  double balance = 0;
  OptimiserOptions optimiser;
  PassEngine::Select select = {};  ///< empty: everything trains
};

/// What a step has come to, the same on all ranks.
struct StepResult {
  StepLosses losses;
  double gradient_norm = 0;  ///< before clipping
  double penalty = 0;        ///< beside the losses, of a model that is held to where it was
  int64_t tokens = 0, targets = 0;
};

/// Seconds of this rank, by phase.
struct TrainSeconds {
  PassSeconds pass;
  double update = 0;
};

class Trainer : public PassEngine {
 public:
  Trainer(Communicator& world, const ModelConfig& config, const TrainerOptions& options,
          std::function<void()> poll = {}, Pulse* pulse = nullptr);

  /// Holds what trains to where it is now, as much as this Fisher information says of each parameter
  /// (OptimiserOptions::ewc; shape.anchored). Fails (input); not collective.
  void hold(const FisherSource& importance);
  /// Of what hold() was told of all that trains, the same on any ranks. Collective.
  Hash128 importance_hash() const;

  StepResult step(const StepBatch& batch, double learning_rate);
  HeldOutLoss evaluate(const HeldOutRecords& records);

  TrainSeconds seconds() const { return {pass_seconds(), update_seconds_}; }

 private:
  Optimiser optimiser_;
  std::unique_ptr<Exchange> exchange_;  ///< for evaluations, if there are any
  std::unique_ptr<Decoder> decoder_;
  double update_seconds_ = 0;
};

}  // namespace switchyard
