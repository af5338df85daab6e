// A whole model of random weights, ready to run on the device.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "measure.h"
#include "model/engine.h"

namespace switchyard::bench {

class RandomEngine {
 public:
  RandomEngine(const ModelConfig& config, DType operand, const DecoderLimits& limits);

  Bench& bench() { return bench_; }
  const Stream& stream() const { return engine_->stream(); }
  const ModelWeights& weights() const { return engine_->weights(); }
  Exchange& exchange() { return engine_->exchange(); }
  Arena& arena() { return engine_->arena(); }
  double seconds_to_make() const { return seconds_to_make_; }

  View forward(const Batch& batch);
  /// Every token but each record's first one. Waits.
  TokenScores score(const Batch& batch, ConstView states);

 private:
  Bench bench_;
  std::unique_ptr<Communicator> alone_;
  double seconds_to_make_ = 0;
  std::unique_ptr<Engine> engine_;
};

/// `records` of `length` random tokens each.
Batch random_batch(const ModelConfig& config, int64_t records, int64_t length);

/// Products only: projections, attention's scores and values, router, experts, and the vocabulary for scored tokens.
double product_flops(const ModelConfig& config, int64_t records, int64_t length);

}  // namespace switchyard::bench
