#include "model/memory_plan.h"

#include <algorithm>

#include "exchange/exchange.h"
#include "model/checkpoint/loader.h"
#include "model/moe_layer.h"

namespace switchyard {
namespace {

/// With one layer of each kind: the others take what these do.
ModelConfig with_distinct_layers(const ModelConfig& config) {
  ModelConfig distinct = config;
  distinct.layers.clear();
  for (const LayerConfig& layer : config.layers)
    if (std::ranges::find(distinct.layers, layer) == distinct.layers.end()) distinct.layers.push_back(layer);
  return distinct;
}

}  // namespace

size_t MemoryPlan::peak() const {
  const size_t computing = activations + exchange + scratch;
  return weights + (device == Device::cpu ? std::max(loading, computing) : computing);
}

size_t MemoryPlan::host_peak() const {
  return device == Device::cpu ? peak() : std::max(loading, bookkeeping);
}

DecoderMemory measure_decoder(const ModelConfig& config, DType operand, const DecoderLimits& limits, Exchange& exchange,
                              WorkLog* works) {
  const Device device = exchange.shape().device;
  Measurement measured;
  Stream stream = Stream::measuring(device, measured);
  stream.works = works;
  Arena arena = Arena::measuring(device);
  const ModelWeights weights =
      shape_only_weights(with_distinct_layers(config), operand, exchange.num_local_experts(), device);
  const Decoder decoder(stream, weights, exchange, limits);
  const Batch batch = Batch::of_single_tokens(limits.max_tokens);
  const View states = decoder.forward(stream, arena, batch);
  decoder.score(stream, arena, states, batch.positions, batch.ids);
  if (limits.logits) decoder.logits(stream, arena, states, batch.positions, {});
  return {arena.high_water(), measured.held, measured.working};
}

MemoryPlan plan_memory(const ModelConfig& c, const MemoryRequest& r) {
  const int num_local = r.placement.max_count();
  const auto exchange =
      measuring_exchange(exchange_shape(c, r.placement, r.operand, r.exchange_bytes, r.device), num_local);
  const ExchangeScratch travelling = exchange->scratch_bytes(r.limits.part_tokens());
  const DecoderMemory decoder = measure_decoder(c, r.operand, r.limits, *exchange);
  const WeightBytes weights = predict_weight_bytes(c, r.operand, num_local, r.threads, r.device);
  MemoryPlan plan;
  plan.device = r.device;
  plan.weights = weights.resident;
  plan.loading = weights.scratch;
  plan.exchange = travelling.arena_bytes;
  plan.activations = decoder.arena - travelling.arena_bytes;
  plan.scratch = decoder.held;
  if (r.device == Device::cpu) {
    plan.exchange += travelling.host_bytes;
    plan.scratch += static_cast<size_t>(r.threads) * decoder.working;
  } else {
    plan.bookkeeping = travelling.host_bytes;
    plan.scratch += decoder.working;
  }
  return plan;
}

}  // namespace switchyard
