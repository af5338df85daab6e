#include "train/trainer.h"

#include <algorithm>
#include <utility>

#include "base/stopwatch.h"
#include "model/moe_layer.h"

namespace switchyard {

Trainer::Trainer(Communicator& world, const ModelConfig& config, const TrainerOptions& options,
                 std::function<void()> poll, Pulse* pulse)
    : PassEngine(world, config, options.shape, options.balance, options.select, std::move(poll), pulse),
      optimiser_(stream_, model_, options.optimiser) {
  if (shape_.evaluation.max_tokens == 0) return;
  exchange_ =
      make_exchange(ranks_.group(), exchange_shape(config, ranks_.placement(), shape_.operand, shape_.exchange_bytes));
  decoder_ = std::make_unique<Decoder>(stream_, model_.weights(), *exchange_, shape_.evaluation);
}

void Trainer::hold(const FisherSource& importance) {
  constexpr int64_t kElementsAtOnce = 1 << 16;
  std::vector<float> values;
  for (const Shard& shard : model_.shards()) {
    copy(stream_, shard.master, shard.anchor);
    for (const BlockTensor& tensor : space_.blocks()[shard.block].tensors) {
      int64_t first = tensor.offset;
      for (const Parameter& p : tensor.tensor.parameters()) {
        const int64_t columns = p.row_elements(), at_once = std::max<int64_t>(kElementsAtOnce / columns, 1);
        for (int64_t row = 0; row < p.shape[0]; row += at_once) {
          const int64_t rows = std::min(at_once, p.shape[0] - row), begin = first + row * columns;
          const ElementRange part = overlap({begin, begin + rows * columns}, shard.owned);
          if (shard.trained->count_in(part) == 0) continue;
          values.resize(static_cast<size_t>(rows * columns));
          importance.read(p, row * columns, values);
          const auto of_part = std::span<const float>(values).subspan(static_cast<size_t>(part.first - begin),
                                                                      static_cast<size_t>(part.count()));
          shard.trained->compress(part, of_part, shard.part_of(shard.importance, part).span<float>());
        }
        first += p.shape.elements();
      }
    }
  }
}

Hash128 Trainer::importance_hash() const {
  constexpr int64_t kChunk = ParameterSpace::kChunkElements;
  std::vector<int64_t> hashes(2 * static_cast<size_t>(space_.num_chunks()));  // of what others own 0
  for (const Shard& shard : model_.shards()) {
    size_t chunk = static_cast<size_t>(space_.first_chunk(shard.block) + shard.owned.first / kChunk);
    for (int64_t first = shard.owned.first; first < shard.owned.end; first += kChunk, ++chunk) {
      Hasher hasher;
      const ElementRange range{first, std::min(first + kChunk, shard.owned.end)};
      hasher.update(std::span<const float>(shard.part_of(shard.importance, range).span<float>()));
      const Hash128 hash = hasher.digest();
      hashes[2 * chunk] = static_cast<int64_t>(hash.high);
      hashes[2 * chunk + 1] = static_cast<int64_t>(hash.low);
    }
  }
  ranks_.world().all_reduce({hashes.data(), {std::ssize(hashes)}, DType::i64}, ReduceOp::sum);
  Hasher all;
  all.update(std::span<const int64_t>(hashes));
  return all.digest();
}

StepResult Trainer::step(const StepBatch& batch, double learning_rate) {
  StepResult result{
      .losses = pass_.run(stream_, arena_, batch), .tokens = batch.step_tokens, .targets = batch.step_targets};
  const Stopwatch stopwatch(update_seconds_);
  Stream updating = stream_;
  updating.works = nullptr;  // all of it is one
  result.gradient_norm = optimiser_.step(updating, batch.step, learning_rate, result.losses.tokens_per_expert);
  result.penalty = optimiser_.penalty();
  return result;
}

HeldOutLoss Trainer::evaluate(const HeldOutRecords& records) {
  return switchyard::evaluate(stream_, arena_, *decoder_, ranks_, records, shape_.batch_tokens, stream_.poll);
}

}  // namespace switchyard
