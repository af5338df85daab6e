#include "model/engine.h"

#include <utility>

#include "base/log.h"
#include "model/checkpoint/model_hash.h"
#include "model/memory_plan.h"
#include "model/moe_layer.h"

namespace switchyard {

WeightSource checkpoint_weights(std::filesystem::path model, std::vector<std::filesystem::path> deltas) {
  return
      [model = std::move(model), deltas = std::move(deltas)](
          const Stream& stream, const ModelConfig& config, DType operand, const ExpertPlacement& placement, int rank) {
        const Checkpoint checkpoint(model, deltas);
        const TensorTable table(checkpoint, config, model.string());
        return load_model(stream, table, operand, placement, rank);
      };
}

Engine::Engine(const ModelConfig& config, const WeightSource& weights, const EngineOptions& options,
               Communicator& group, std::function<void()> poll, Pulse* pulse)
    : group_(group),
      pool_(options.threads),
      clock_(config.layers.size()),
      stream_{Device::cpu, &pool_, std::move(poll), pulse, &clock_} {
  const ExpertPlacement placement =
      options.placement.value_or(ExpertPlacement::blocks(config.num_experts(), group.size()));
  exchange_ =
      make_exchange(group, exchange_shape(config, placement, options.operand, options.exchange_bytes, options.device));
  const DecoderMemory memory = measure_decoder(config, options.operand, options.limits, *exchange_->measuring());
  if (options.device == Device::cuda) {
    device_.emplace(options.device_index, memory.working);
    stream_ = device_->over(stream_);
  }
  loaded_ = weights(stream_, config, options.operand, placement, group.rank());
  stream_.poll = {};
  if (exchange_->budget_too_small())
    log::info("--exchange-bytes {} is below the least of {}: rounds of one row per pair of ranks",
              options.exchange_bytes, exchange_->least_exchange_bytes());
  decoder_ = std::make_unique<Decoder>(stream_, loaded_.weights, *exchange_, options.limits);
  arena_ = std::make_unique<Arena>(memory.arena, options.device);
}

Hash128 Engine::model_hash() const {
  return hash_of_model(group_, loaded_.hashes);
}

}  // namespace switchyard
