#include "train/parameters/train_ranks.h"

#include <algorithm>
#include <utility>

#include "comm/measuring_communicator.h"
#include "train/parameters/step_slices.h"

namespace switchyard {

TrainRanks::TrainRanks(Communicator& world, int ep, const ModelConfig& config, int64_t num_slices)
    : TrainRanks(world, ExpertPlacement::blocks(config.num_experts(), ep), world.split(world.rank() / ep, world.rank()),
                 world.split(world.rank() % ep, world.rank()), num_slices) {}

TrainRanks TrainRanks::measuring(Communicator& world, int ep, const ModelConfig& config, int64_t num_slices) {
  return {world, ExpertPlacement::blocks(config.num_experts(), ep), make_measuring_communicator(0, ep),
          make_measuring_communicator(world.rank() / ep, world.size() / ep), num_slices};
}

TrainRanks::TrainRanks(Communicator& world, const ExpertPlacement& placement, std::unique_ptr<Communicator> group,
                       std::unique_ptr<Communicator> replicas, int64_t num_slices)
    : world_(world), placement_(placement), group_(std::move(group)), replicas_(std::move(replicas)) {
  const int size = world.size();
  SWITCHYARD_CHECK(size % ep() == 0, "groups of {} among {} ranks", ep(), size);
  for (int r = 0; r < size; ++r) slices_of_rank_.push_back(switchyard::slices_of_rank(num_slices, r, size));
  for (int first = 0; first < size; first += ep())
    slices_of_groups_.push_back({slices_of_rank_[static_cast<size_t>(first)].first,
                                 slices_of_rank_[static_cast<size_t>(first + ep() - 1)].end});
}

SliceRange TrainRanks::slices_of_group() const {
  return slices_of_groups_[static_cast<size_t>(rank() / ep())];
}

std::span<const SliceRange> TrainRanks::slices_of_group_ranks() const {
  const auto size = static_cast<size_t>(ep());
  return slices_of_rank().subspan(static_cast<size_t>(rank()) / size * size, size);
}

std::vector<ElementRange> TrainRanks::owned(const ParameterSpace& space, size_t index) const {
  const ParameterBlock& block = space.blocks()[index];
  const int64_t chunks = space.num_chunks(index);
  const int64_t holders = block.expert < 0 ? world_.size() : world_.size() / ep();
  std::vector<ElementRange> ranges(static_cast<size_t>(holders));
  // A block of few chunks would always be the last holders': another one is first with each block.
  const auto element = [&](int64_t share) {
    return std::min(share * chunks / holders * ParameterSpace::kChunkElements, block.elements);
  };
  for (int64_t i = 0; i < holders; ++i) {
    const int64_t share = (i + static_cast<int64_t>(index)) % holders;
    ranges[static_cast<size_t>(i)] = {element(share), element(share + 1)};
  }
  return ranges;
}

std::vector<double> TrainRanks::sum_over_slices(std::vector<double> parts, size_t each) const {
  world_.all_reduce({parts.data(), {std::ssize(parts)}, DType::f64}, ReduceOp::sum);  // x + 0 is x
  std::vector<double> sums(each);
  for (size_t i = 0; i < parts.size(); ++i) sums[i % each] += parts[i];
  return sums;
}

int TrainRanks::world_rank_of_holder(const ParameterBlock& block, int i) const {
  return block.expert < 0 ? i : i * ep() + placement_.rank_of(static_cast<int>(block.expert));
}

}  // namespace switchyard
