#include "train/trainer.h"

#include <utility>

#include "base/stopwatch.h"
#include "model/moe_layer.h"
#include "model/random_model.h"

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

void Trainer::initialise(const InitialWeights& initial) {
  std::vector<StoredTensor> tensors;
  for_each_tensor(model_.weights().config, ranks_.placement().experts_of(ranks_.group().rank()), nullptr,
                  [&](const StoredTensor& tensor) { tensors.push_back(tensor); });
  stream_.parallel_for(std::ssize(tensors), [&](int64_t task, int) {
    const StoredTensor& tensor = tensors[static_cast<size_t>(task)];
    if (tensor.tied) return;
    std::vector<float> values(static_cast<size_t>(tensor.shape().elements()));
    size_t first = 0;
    for (const Parameter& p : tensor.parameters()) {
      const ParameterRows rows{p, 0, p.shape[0]};
      random_parameters(initial, rows, std::span(values).subspan(first, rows.elements()));
      first += rows.elements();
    }
    model_.set(tensor, {values.data(), tensor.shape(), DType::f32, Device::cpu});
  });
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
