// AdamW over all parameters, each rank what it owns; the weights that products take are made anew on the way. Routers'
// biases for the choice of experts follow the experts' load instead.
#pragma once

#include <memory>
#include <vector>

#include "kernels/optimizer/adamw.h"
#include "train/model/trained_model.h"

namespace switchyard {

struct OptimiserOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  ///< of matrices
  double max_grad_norm = 1;   ///< 0: no clipping
  bool train_router = true;
  /// What a bias for the choice of experts gains in a step in which its expert had fewer tokens than the mean, and
  /// loses where it had more.   (Wang et al. 2024, "Auxiliary-loss-free load balancing")
  double router_bias_update_rate = 1e-3;
  double ewc = 0;  ///< λ of the pull to the shards' anchors; 0: none
};

class Optimiser {
 public:
  Optimiser(const Stream& stream, TrainedModel& model, const OptimiserOptions& options);

  /// Takes a step with the gradient in the model's shards. step: counted from 1; tokens_per_expert: [layers, E] of the
  /// whole step: the gradient of an expert without tokens is 0, and not looked at. Returns the gradient's norm before
  /// clipping: of every parameter once, chunk by chunk in canonical order, in f64. Clipping is by
  /// min(1, max_grad_norm / (norm + 1e-6)), as torch's clip_grad_norm_. Collective over the world. Fails (internal)
  /// where a gradient, or a weight afterwards, is not a finite number, naming the first.
  double step(const Stream& stream, int64_t step, double learning_rate, std::span<const int64_t> tokens_per_expert);
  /// What the last step's loss had beside it, of a model that is held to its anchors: λ/2 Σ F (w − w₀)².
  double penalty() const { return penalty_; }

 private:
  Stream serial_of(const Stream& stream, int worker) const;
  bool has_gradient(const Shard& shard, std::span<const int64_t> tokens_per_expert) const;
  void freeze_routers() const;
  double pull_to_anchors(const Stream& stream, std::span<const int64_t> tokens_per_expert) const;
  double sum_over_chunks(std::vector<double> sums) const;
  double gradient_norm(const Stream& stream, int64_t step, std::span<const int64_t> tokens_per_expert) const;
  int64_t update(const Stream& serial, const Shard& shard, const ElementRange& range, const AdamwStep& step,
                 std::span<const int64_t> tokens_per_expert) const;
  void balance(const Shard& shard, const BlockTensor& bias, const ElementRange& part,
               std::span<const int64_t> tokens_per_expert) const;
  [[noreturn]] void fail_at_first_broken(int64_t step, std::string_view what, View Shard::*values,
                                         std::span<const int64_t> tokens_per_expert) const;

  TrainedModel& model_;
  const OptimiserOptions options_;
  std::vector<std::unique_ptr<ThreadPool>> alone_;  ///< [workers] of one thread each
  double penalty_ = 0;
};

}  // namespace switchyard
