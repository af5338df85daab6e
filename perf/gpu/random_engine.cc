#include "random_engine.h"

#include "base/rng.h"
#include "base/stopwatch.h"
#include "model/random_model.h"
#include "perf/operations.h"

namespace switchyard::bench {

RandomEngine::RandomEngine(const ModelConfig& config, DType operand, const DecoderLimits& limits)
    : alone_(make_self_communicator()) {
  bench_.ceilings();  // while there is memory for it
  const WeightSource timed = [&](const Stream& stream, const ModelConfig& c, DType dtype,
                                 const ExpertPlacement& placement, int rank) {
    const Stopwatch watch(seconds_to_make_);
    return random_model(stream, c, dtype, placement, rank);
  };
  constexpr int64_t kExchangeBytes = 1 << 20;  // nobody to exchange with
  const EngineOptions options{operand, available_cores(), limits, kExchangeBytes, Device::cuda};
  engine_ = std::make_unique<Engine>(config, timed, options, *alone_);
}

View RandomEngine::forward(const Batch& batch) {
  return engine_->decoder().forward(stream(), arena(), batch);
}

TokenScores RandomEngine::score(const Batch& batch, ConstView states) {
  std::vector<int32_t> row, target;
  for (int64_t t = 1; t < batch.tokens(); ++t) {
    if (batch.positions[static_cast<size_t>(t)] == 0) continue;
    row.push_back(static_cast<int32_t>(t - 1));
    target.push_back(batch.ids[static_cast<size_t>(t)]);
  }
  return engine_->decoder().score(stream(), arena(), states, row, target);
}

Batch random_batch(const ModelConfig& config, int64_t records, int64_t length) {
  Batch batch;
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  for (int64_t r = 0; r < records; ++r) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] =
          static_cast<int32_t>(random_bits(static_cast<uint64_t>(r), i) % static_cast<uint64_t>(config.vocab_size));
    batch.add(tokens);
  }
  return batch;
}

double product_flops(const ModelConfig& c, int64_t records, int64_t length) {
  const auto tokens = static_cast<double>(records * length), scored = static_cast<double>(records * (length - 1));
  return tokens * (layer_operations(c) + attention_operations(c, length)) + scored * head_operations(c);
}

}  // namespace switchyard::bench
