#include "train/pass_engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.h"
#include "comm/exchange_parts.h"
#include "io/delta_file.h"
#include "model/checkpoint/loader.h"
#include "model/checkpoint/parameter_reader.h"

namespace switchyard {

PassEngine::PassEngine(Communicator& world, const ModelConfig& config, const TrainMemoryRequest& shape, double balance,
                       const Select& select, std::function<void()> poll, Pulse* pulse)
    : shape_(shape),
      ranks_(world, shape.ep, config, shape.num_slices),
      space_(config),
      selection_(select ? select(space_, ranks_) : Selection(space_)),
      pool_(shape.threads),
      clock_(config.layers.size()),
      stream_{Device::cpu, &pool_, std::move(poll), pulse, &clock_},
      model_(stream_, config, shape.operand, space_, ranks_, selection_, shape.state(), shape.anchored),
      pass_(stream_, model_, shape.pass_options(balance)),
      arena_(plan_train_memory(config, shape).activations) {}

void PassEngine::load(const std::filesystem::path& path, std::span<const std::filesystem::path> deltas) {
  const ModelConfig& config = model_.weights().config;
  const Checkpoint checkpoint(path, deltas);
  const TensorTable table(checkpoint, config, path.string());
  if (ranks_.rank() == 0) check_tied_copy(table);
  const PartsRead read = read_parameters(
      stream_, table, shape_.operand, ranks_.placement().experts_of(ranks_.group().rank()), nullptr,
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

std::string PassEngine::master_hash() {
  if (expected_master_.empty()) return {};
  const std::string found = hash_of_model(ranks_.group(), hashes_of_masters_).hex();
  if (found != expected_master_)
    fail(ExitCode::input, "the last delta's f32 values have the hash {}, expected {}: the file is damaged", found,
         expected_master_);
  return found;
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
  std::vector<float> mine;  // where not all of it trains
  for (size_t i = 0; i < owned.size(); ++i) {
    const ElementRange part = overlap(owned[i], wanted);
    const int rank = ranks.world_rank_of_holder(holder, static_cast<int>(i));
    if (world.rank() == rank) {
      const Shard& shard = model.shard(block);
      const std::span<float> trained = shard.part_of(shard.*values, wanted).span<float>();
      if (std::ssize(trained) < part.count()) {
        mine.assign(static_cast<size_t>(part.count()), std::numeric_limits<float>::quiet_NaN());
        shard.trained->expand(part, trained, mine);
      }
      from.front().push_back(mine.empty() ? trained : std::span<float>(mine));
    }
    if (world.rank() == 0)
      to[static_cast<size_t>(rank)].push_back(
          out.subspan(static_cast<size_t>(part.first - begin), static_cast<size_t>(part.count())));
  }
  exchange_parts(world, from, to);
}

}  // namespace switchyard
