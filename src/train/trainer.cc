#include "train/trainer.h"

#include <utility>

#include "base/stopwatch.h"
#include "model/moe_layer.h"

namespace switchyard {

Trainer::Trainer(Communicator& world, const ModelConfig& config, const TrainerOptions& options,
                 std::function<void()> poll, Pulse* pulse)
    : PassEngine(world, config, options.shape, options.balance, options.select, std::move(poll), pulse),
      optimiser_(stream_, model_, options.optimiser) {
  if (shape_.evaluation.max_tokens == 0) return;
  exchange_ = make_exchange(ranks_.group(),
                            exchange_shape(config, ranks_.placement(), shape_.operand, shape_.exchange_bytes));
  decoder_ = std::make_unique<Decoder>(stream_, model_.weights(), *exchange_, shape_.evaluation);
}

StepResult Trainer::step(const StepBatch& batch, double learning_rate) {
  StepResult result{
      .losses = pass_.run(stream_, arena_, batch), .tokens = batch.step_tokens, .targets = batch.step_targets};
  const Stopwatch stopwatch(update_seconds_);
  result.gradient_norm = optimiser_.step(stream_, batch.step, learning_rate, result.losses.tokens_per_expert);
  return result;
}

HeldOutLoss Trainer::evaluate(const HeldOutRecords& records) {
  return switchyard::evaluate(stream_, arena_, *decoder_, ranks_, records, shape_.batch_tokens, stream_.poll);
}

}  // namespace switchyard
