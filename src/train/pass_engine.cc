#include "train/pass_engine.h"

#include <utility>

#include "comm/exchange_parts.h"
#include "model/checkpoint/loader.h"
#include "model/checkpoint/parameter_reader.h"

namespace switchyard {

PassEngine::PassEngine(Communicator& world, const ModelConfig& config, const TrainMemoryRequest& shape, double balance,
                       const Select& select, std::function<void()> poll, Pulse* pulse)
    : shape_(shape),
      pool_(shape.threads),
      stream_{Device::cpu, &pool_, std::move(poll), pulse},
      ranks_(world, shape.ep, config, shape.num_slices),
      space_(config),
      selection_(select ? select(space_, ranks_) : Selection(space_)),
      model_(stream_, config, shape.operand, space_, ranks_, selection_, shape.state(), shape.anchored),
      pass_(stream_, model_, shape.pass_options(balance)),
      arena_(plan_train_memory(config, shape).activations) {}

void PassEngine::load(const std::filesystem::path& path) {
  const ModelConfig& config = model_.weights().config;
  const Checkpoint checkpoint(path);
  const TensorTable table(checkpoint, config, path.string());
  if (ranks_.rank() == 0) check_tied_copy(table);
  const PartsRead read =
      read_parameters(stream_, table, shape_.operand, ranks_.placement().experts_of(ranks_.group().rank()), nullptr,
                      [this](const StoredTensor& tensor, ConstView values) { model_.set(tensor, values); });
  hashes_ = read.hashes;
}

void PassEngine::initialise(const InitialWeights& initial) {
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

Hash128 PassEngine::model_hash() {
  return hash_of_model(ranks_.group(), hashes_);
}

void gather_rows_of(const TrainedModel& model, View Shard::*values, const ParameterRows& rows, std::span<float> out) {
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
      from.front().push_back(shard.part_of(shard.*values, wanted).span<float>());
    }
    if (world.rank() == 0)
      to[static_cast<size_t>(rank)].push_back(
          out.subspan(static_cast<size_t>(part.first - begin), static_cast<size_t>(part.count())));
  }
  exchange_parts(world, from, to);
}

}  // namespace switchyard
