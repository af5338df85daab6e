// A model with all it needs to learn: weights, threads, memory, exchanges, the pass and the optimiser.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "model/checkpoint/model_hash.h"
#include "model/decoder.h"
#include "model/random_model.h"
#include "train/checkpoints.h"
#include "train/evaluation.h"
#include "train/optimiser.h"
#include "train/train_memory.h"

namespace switchyard {

struct TrainerOptions {
  TrainMemoryRequest shape;  ///< of the world that there is
  double balance = 0;
  OptimiserOptions optimiser;
};

/// What a step has come to, the same on all ranks.
struct StepResult {
  StepLosses losses;
  double gradient_norm = 0;  ///< before clipping
  int64_t tokens = 0, targets = 0;
};

/// Seconds of this rank, by phase.
struct TrainSeconds {
  PassSeconds pass;
  double update = 0;
};

class Trainer {
 public:
  /// Memory for all of it. poll, pulse: as Engine has them.
  Trainer(Communicator& world, const ModelConfig& config, const TrainerOptions& options,
          std::function<void()> poll = {}, Pulse* pulse = nullptr);

  /// The weights of a checkpoint with its deltas; where the last one has the f32 values that stored weights were
  /// rounded from, these. Fails (input); not collective, for what is wrong may be one rank's to find.
  void load(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas = {});
  /// The identity of the model that the group loaded, the same on all its ranks. Collective over the group.
  Hash128 model_hash();
  /// The hash of the f32 values that were taken in place of stored ones; empty where there were none. Collective over
  /// the group. Fails (input) where the delta says another one.
  std::string master_hash();
  /// New ones. Of no identity but `initial`.
  void initialise(const InitialWeights& initial);

  StepResult step(const StepBatch& batch, double learning_rate);
  HeldOutLoss evaluate(const HeldOutRecords& records);

  const Stream& stream() const { return stream_; }
  const TrainRanks& ranks() const { return ranks_; }
  TrainedModel& model() { return model_; }
  const GradientCounters& exchange_counters() const { return pass_.exchange().counters(); }
  TrainSeconds seconds() const { return {pass_.seconds(), update_seconds_}; }

 private:
  const TrainerOptions options_;
  ThreadPool pool_;
  Stream stream_;
  const TrainRanks ranks_;
  const ParameterSpace space_;
  TrainedModel model_;
  TrainPass pass_;
  Optimiser optimiser_;
  std::unique_ptr<Exchange> exchange_;  ///< for evaluations, if there are any
  std::unique_ptr<Decoder> decoder_;
  Arena arena_;
  std::vector<PartHash> hashes_, hashes_of_masters_;  ///< of what this rank loaded
  std::string expected_master_;                       ///< hash, as the last delta has it; empty: there is none
  double update_seconds_ = 0;
};

/// rows of a parameter, at the world's rank 0: its owners send them. out: rows.elements() there. Collective.
void gather_rows_of(const TrainedModel& model, const ParameterRows& rows, std::span<float> out);

}  // namespace switchyard
