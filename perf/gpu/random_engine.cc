#include "random_engine.h"

#include "base/rng.h"
#include "base/stopwatch.h"
#include "model/memory_plan.h"
#include "model/moe_layer.h"
#include "model/random_model.h"

namespace switchyard::bench {

namespace {

constexpr int64_t kExchangeBytes = 1 << 20;  // nobody to exchange with

ExchangeShape shape_alone(const ModelConfig& c, DType operand) {
  return exchange_shape(c, ExpertPlacement::blocks(static_cast<int>(c.num_experts), 1), operand, kExchangeBytes,
                        Device::cuda);
}

ExchangeScratch scratch_alone(const ModelConfig& c, DType operand, const DecoderLimits& limits) {
  return exchange_scratch(shape_alone(c, operand), static_cast<int>(c.num_experts), limits.part_tokens());
}

}  // namespace

RandomEngine::RandomEngine(const ModelConfig& config, DType operand, const DecoderLimits& limits)
    : config_(config),
      bench_(device_workspace_bytes(config, operand, limits, scratch_alone(config, operand, limits).max_entries)),
      alone_(make_self_communicator()),
      exchange_(make_exchange(*alone_, shape_alone(config, operand))) {
  bench_.ceilings();  // while there is memory for it
  {
    const Stopwatch watch(seconds_to_make_);
    loaded_ = random_model(stream(), config, operand, exchange_->placement(), 0);
  }
  decoder_ = std::make_unique<Decoder>(stream(), loaded_.weights, *exchange_, limits);
  const size_t exchange_bytes = scratch_alone(config, operand, limits).arena_bytes;
  arena_ = std::make_unique<Arena>(Decoder::arena_bytes(config, operand, limits, exchange_bytes, Device::cuda),
                                   Device::cuda);
}

View RandomEngine::forward(const Batch& batch) {
  return decoder_->forward(stream(), *arena_, batch);
}

TokenScores RandomEngine::score(const Batch& batch, ConstView states) {
  std::vector<int32_t> row, target;
  for (int64_t t = 1; t < batch.tokens(); ++t) {
    if (batch.positions[static_cast<size_t>(t)] == 0) continue;
    row.push_back(static_cast<int32_t>(t - 1));
    target.push_back(batch.ids[static_cast<size_t>(t)]);
  }
  return decoder_->score(stream(), *arena_, states, row, target);
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
  const auto f = [](int64_t x) { return static_cast<double>(x); };
  const double d = f(c.hidden_size), q = f(c.num_heads * c.head_dim), kv = f(c.num_kv_heads * c.head_dim);
  const double attention = 2 * d * (2 * q + 2 * kv) + 4 * q * f(length + 1) / 2;
  const double moe =
      2 * d * f(c.num_experts) + f(c.experts_per_token) * 6 * d * f(c.expert_ffn_size) + 6 * d * f(c.shared_ffn_size);
  const double dense = 6 * d * f(c.dense_ffn_size);
  const double per_token =
      f(c.num_layers) * attention + f(c.num_moe_layers()) * moe + f(c.num_layers - c.num_moe_layers()) * dense;
  return f(records) * (f(length) * per_token + f(length - 1) * 2 * d * f(c.vocab_size));
}

}  // namespace switchyard::bench
