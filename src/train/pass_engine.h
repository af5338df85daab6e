// A model on its ranks, with all that it takes to go through it and back: weights, threads, memory, exchange.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint/model_hash.h"
#include "model/random_model.h"
#include "train/train_memory.h"

namespace switchyard {

class PassEngine {
 public:
  /// Chooses what trains, of all parameters. Collective over the world.
  using Select = std::function<Selection(const ParameterSpace&, const TrainRanks&)>;

  /// Memory for all of it. shape: of the world that there is; balance: the balancing loss's weight; select: empty: all
  /// of it trains; poll, pulse: as Engine has them. Collective over the world.
  PassEngine(Communicator& world, const ModelConfig& config, const TrainMemoryRequest& shape, double balance,
             const Select& select = {}, std::function<void()> poll = {}, Pulse* pulse = nullptr);

  /// The weights of a checkpoint with its deltas; where the last one has the f32 values that stored weights were
  /// rounded from, these. Fails (input); not collective, for what is wrong may be one rank's to find.
  void load(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas = {});
  /// New weights. Of no identity but `initial`.
  void initialise(const InitialWeights& initial);
  /// The identity of the model that the group loaded, the same on all its ranks. Collective over the group.
  Hash128 model_hash();
  /// The hash of the f32 values that were taken in place of stored ones; empty where there were none. Collective over
  /// the group. Fails (input) where the delta says another one.
  std::string master_hash();

  const Stream& stream() const { return stream_; }
  /// From now on what ops do is listed there, and timed; null: no longer.
  void list_works(WorkLog* works) { stream_.works = works; }
  const TrainRanks& ranks() const { return ranks_; }
  TrainedModel& model() { return model_; }
  const GradientCounters& exchange_counters() const { return pass_.exchange().counters(); }
  const PassSeconds& pass_seconds() const { return pass_.seconds(); }
  /// [layers] of this rank, forward, backward and evaluated, its waiting for others in the exchange with it.
  const std::vector<double>& layer_seconds() const { return clock_.seconds(); }

 protected:
  const TrainMemoryRequest shape_;
  // What is collective comes first: a rank that fails alone, for want of threads or memory, leaves no other waiting.
  const TrainRanks ranks_;
  const ParameterSpace space_;
  const Selection selection_;
  ThreadPool pool_;
  LayerClock clock_;
  Stream stream_;
  TrainedModel model_;
  TrainPass pass_;
  Arena arena_;

 private:
  std::vector<PartHash> hashes_, hashes_of_masters_;  ///< of what this rank loaded
  std::string expected_master_;                       ///< hash, as the last delta has it; empty: there is none
};

/// `values` of rows of a parameter, at the world's rank 0: their owners send them, NaN of what does not train. out:
/// rows.elements() there. Collective.
void gather_rows_of(const TrainedModel& model, View Shard::*values, const ParameterRows& rows, std::span<float> out);

}  // namespace switchyard
