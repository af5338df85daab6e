// One step's losses and gradient. It reads like the decoder, but goes layer by layer through the whole step, so that a
// layer's counts, its balancing loss and its experts' whole gradients belong to one time.
#pragma once

#include <cstdint>
#include <vector>

#include "train/pass/layer_pass.h"
#include "train/pass/routing_shares.h"

namespace switchyard {

/// What a step has shown, the same on all ranks.
struct StepLosses {
  double cross_entropy = 0;  ///< mean over the step's targets, natural logarithm
  double balance = 0;        ///< mean over the layers with experts of E Σ_e f_e P_e: 1 when all are chosen alike
  std::vector<int64_t> tokens_per_expert;  ///< [layers, E] (token, slot) assignments
  RoutingShares routing;                   ///< of a pass of squares
};

/// Seconds of this rank, by phase.
struct PassSeconds {
  double forward = 0, head = 0, backward = 0;
};

struct TrainPassOptions {
  double balance = 0;            ///< the balancing loss's weight in what is minimised
  int64_t batch_tokens = 0;      ///< that go through attention at once; a slice may have more
  int64_t exchange_bytes = 0;    ///< budget, of rows that travel, and of gradients that are summed
  int64_t max_tokens = 0;        ///< of any rank in a step
  int64_t max_slice_tokens = 0;  ///< of any slice
  int64_t max_record = 0;        ///< tokens of the longest record
  bool squares = false;          ///< what is wanted is no gradient, but Σ over slices of its square: see run()
  bool keep_products = false;    ///< attention's and experts', from the way forward to the way back: not computed again
};

class TrainPass {
 public:
  /// All outlive this.
  TrainPass(const Stream& stream, TrainedModel& model, const TrainPassOptions& options);

  /// The gradient of cross_entropy + options.balance · balance, in the model's shards; of an expert that no token went
  /// to it is nothing, and not touched. options.squares: of each slice the gradient of Σ log p over its targets is
  /// squared, element by element, and the slices' squares are added up: with a record a slice the terms of Fisher
  /// information. Collective over the world. Fails (internal) where the cross-entropy is not a finite number, naming
  /// step and layer.
  StepLosses run(const Stream& stream, Arena& arena, const StepBatch& batch);

  const PassSeconds& seconds() const { return seconds_; }
  const GradientExchange& exchange() const { return exchange_; }

 private:
  /// A step's way forward, for the way back.
  struct Tape {
    std::vector<LayerTape> layers;
    View last;  ///< [tokens, d] f32: the residual stream after the last layer
  };
  Tape forward(const StepPass& pass);
  int64_t kept_rows() const;
  double backward_layer(const StepPass& pass, size_t layer, const LayerTape& tape,
                        std::span<const int64_t> tokens_per_expert, View dx);
  std::vector<int64_t> count_experts(const Tape& tape) const;
  void require_finite(const Tape& tape, const StepBatch& batch, double cross_entropy) const;

  const ModelConfig& config() const { return model_.weights().config; }

  TrainedModel& model_;
  const TrainPassOptions options_;
  const ModelPositionTables positions_;
  GradientExchange exchange_;
  PassSeconds seconds_;
};

}  // namespace switchyard
