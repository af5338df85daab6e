#include "model/engine.h"

#include <cstring>
#include <utility>

#include "base/log.h"
#include "model/memory_plan.h"
#include "model/moe_layer.h"

namespace switchyard {
namespace {

std::vector<std::byte> pack_hashes(const std::vector<PartHash>& parts) {
  std::vector<std::byte> out;
  const auto put = [&](const void* data, size_t bytes) {
    const auto* p = static_cast<const std::byte*>(data);
    out.insert(out.end(), p, p + bytes);
  };
  for (const PartHash& part : parts) {
    const uint64_t length = part.id.size();
    put(&length, sizeof length);
    put(part.id.data(), length);
    put(&part.hash, sizeof part.hash);
  }
  return out;
}

void unpack_hashes(std::span<const std::byte> bytes, std::vector<PartHash>& parts) {
  while (!bytes.empty()) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    PartHash part;
    part.id.assign(reinterpret_cast<const char*>(bytes.data() + sizeof length), length);
    std::memcpy(&part.hash, bytes.data() + sizeof length + length, sizeof part.hash);
    parts.push_back(std::move(part));
    bytes = bytes.subspan(sizeof length + length + sizeof part.hash);
  }
}

}  // namespace

WeightSource checkpoint_weights(std::filesystem::path model) {
  return [model = std::move(model)](const Stream& stream, const ModelConfig& config, DType operand,
                                    const ExpertPlacement& placement, int rank) {
    const Checkpoint checkpoint(model);
    const TensorTable table(checkpoint, config, model.string());
    return load_model(stream, table, operand, placement, rank);
  };
}

Engine::Engine(const ModelConfig& config, const WeightSource& weights, const EngineOptions& options,
               Communicator& group, std::function<void()> poll, Pulse* pulse)
    : group_(group), pool_(options.threads), stream_{Device::cpu, &pool_, std::move(poll), pulse} {
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
  std::vector<PartHash> parts;
  for (const auto& bytes : group_.gather_bytes(pack_hashes(loaded_.hashes), 0)) unpack_hashes(bytes, parts);
  Hash128 hash = group_.rank() == 0 ? combine_hashes(std::move(parts)) : Hash128{};
  int64_t words[2] = {static_cast<int64_t>(hash.high), static_cast<int64_t>(hash.low)};
  group_.broadcast({words, {2}, DType::i64}, 0);
  return {static_cast<uint64_t>(words[0]), static_cast<uint64_t>(words[1])};
}

}  // namespace switchyard
