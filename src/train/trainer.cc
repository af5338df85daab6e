#include "train/trainer.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/exchange_parts.h"
#include "io/delta_file.h"
#include "model/checkpoint/parameter_reader.h"
#include "model/moe_layer.h"
#include "model/random_model.h"

namespace switchyard {
Trainer::Trainer(Communicator& world, const ModelConfig& config, const TrainerOptions& options,
                 std::function<void()> poll, Pulse* pulse)
    : options_(options),
      pool_(options.shape.threads),
      stream_{Device::cpu, &pool_, std::move(poll), pulse},
      ranks_(world, options.shape.ep, config, options.shape.num_slices),
      space_(config),
      model_(stream_, config, options.shape.operand, space_, ranks_),
      pass_(stream_, model_, options.shape.pass_options(options.balance)),
      optimiser_(stream_, model_, options.optimiser),
      arena_(plan_train_memory(config, options.shape).activations) {
  if (options.shape.evaluation.max_tokens == 0) return;
  exchange_ = make_exchange(
      ranks_.group(), exchange_shape(config, ranks_.placement(), options.shape.operand, options.shape.exchange_bytes));
  decoder_ = std::make_unique<Decoder>(stream_, model_.weights(), *exchange_, options.shape.evaluation);
}

void Trainer::load(const std::filesystem::path& path, std::span<const std::filesystem::path> deltas) {
  const ModelConfig& config = model_.weights().config;
  const Checkpoint checkpoint(path, deltas);
  const TensorTable table(checkpoint, config, path.string());
  if (ranks_.rank() == 0) check_tied_copy(table);
  const PartsRead read = read_parameters(
      stream_, table, options_.shape.operand, ranks_.placement().experts_of(ranks_.group().rank()), nullptr,
      [this](const StoredTensor& tensor, ConstView values) { model_.set(tensor, values); }, ReadValues::masters);
  hashes_ = read.hashes;
  hashes_of_masters_ = read.hashes_of_masters;
  if (const DeltaFile* masters = checkpoint.masters()) {
    expected_master_ = *masters->master();
    log::info("{}: {} weights go on from the f32 values that they were rounded from", masters->path().native(),
              masters->num_masters());
  } else if (std::ranges::any_of(checkpoint.deltas(), [](const auto& delta) { return delta->master() != nullptr; })) {
    log::info("{}: no f32 values to go on from: an earlier delta has some, the last one was cut without",
              checkpoint.deltas().back()->path().native());
  }
}

Hash128 Trainer::model_hash() {
  return hash_of_model(ranks_.group(), hashes_);
}

std::string Trainer::master_hash() {
  if (expected_master_.empty()) return {};
  const std::string found = hash_of_model(ranks_.group(), hashes_of_masters_).hex();
  if (found != expected_master_)
    fail(ExitCode::input, "the last delta's f32 values have the hash {}, expected {}: the file is damaged", found,
         expected_master_);
  return found;
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
  return switchyard::evaluate(stream_, arena_, *decoder_, ranks_, records, options_.shape.batch_tokens, stream_.poll);
}

void gather_rows_of(const TrainedModel& model, const ParameterRows& rows, std::span<float> out) {
  const TrainRanks& ranks = model.ranks();
  Communicator& world = ranks.world();
  const auto [block, first] = model.space().place_of(rows.parameter);
  const int64_t begin = first + rows.first * rows.parameter.row_elements();
  const ElementRange wanted{begin, begin + static_cast<int64_t>(rows.elements())};
  const ParameterBlock& holder = model.space().blocks()[block];
  const std::vector<ElementRange> owned = ranks.owned(model.space(), block);
  PartsOfRanks from(static_cast<size_t>(world.size())), to(from.size());
  for (size_t i = 0; i < owned.size(); ++i) {
    const ElementRange part = overlap(owned[i], wanted);
    const int rank = ranks.world_rank_of_holder(holder, static_cast<int>(i));
    if (world.rank() == rank) {
      const Shard& shard = model.shard(block);
      from.front().push_back(shard.part_of(shard.master, wanted).span<float>());
    }
    if (world.rank() == 0)
      to[static_cast<size_t>(rank)].push_back(
          out.subspan(static_cast<size_t>(part.first - begin), static_cast<size_t>(part.count())));
  }
  exchange_parts(world, from, to);
}

}  // namespace switchyard
