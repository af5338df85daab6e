// A model with all it needs to run: weights, threads, memory, exchange, decoder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/device.h"
#include "model/checkpoint/loader.h"
#include "model/decoder.h"

namespace switchyard {

/// Where weights come from: makes those of one rank, of the operand given, on the stream's device.
using WeightSource =
    std::function<LoadedModel(const Stream&, const ModelConfig&, DType operand, const ExpertPlacement&, int rank)>;

/// Those of a checkpoint, with its deltas. random_model is another such source.
WeightSource checkpoint_weights(std::filesystem::path model, std::vector<std::filesystem::path> deltas = {});

struct EngineOptions {
  DType operand = DType::f32;
  int threads = 1;
  DecoderLimits limits;
  int64_t exchange_bytes = 0;
  Device device = Device::cpu;
  int device_index = 0;
  std::optional<ExpertPlacement> placement = {};  ///< blocks, unless given
};

class Engine {
 public:
  /// Makes this rank's part of the model. `group`: the ranks that share the experts; it can send from the device.
  /// `poll` is called now and then while loading; it may throw to give up. `pulse`: of a watched rank.
  Engine(const ModelConfig& config, const WeightSource& weights, const EngineOptions& options, Communicator& group,
         std::function<void()> poll = {}, Pulse* pulse = nullptr);

  const Stream& stream() const { return stream_; }
  /// From now on what ops do is listed there, and timed; null: no longer.
  void list_works(WorkLog* works) { stream_.works = works; }
  Arena& arena() { return *arena_; }
  const ModelWeights& weights() const { return loaded_.weights; }
  Exchange& exchange() { return *exchange_; }
  /// The exchange's counters as they are now; waits for a device that counts.
  const ExchangeCounters& exchange_counters() {
    exchange_->fetch_counters(stream_);
    return exchange_->counters();
  }
  const Decoder& decoder() const { return *decoder_; }
  /// [layers] of this rank, its waiting for others in the exchange with it.
  const std::vector<double>& layer_seconds() const { return clock_.seconds(); }
  /// The identity of the model that the group loaded, the same on all its ranks. Collective over the group.
  Hash128 model_hash() const;
  uint64_t bytes_read() const { return loaded_.bytes_read; }

 private:
  Communicator& group_;
  ThreadPool pool_;
  std::optional<DeviceStream> device_;
  LayerClock clock_;
  Stream stream_;
  LoadedModel loaded_;
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace switchyard
