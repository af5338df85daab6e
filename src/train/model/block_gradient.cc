#include "train/model/block_gradient.h"

#include <algorithm>

namespace switchyard {
namespace {

/// All slices of a block that this rank holds alone.
std::optional<SliceRange> slices_if_alone(const TrainRanks& ranks, const ParameterBlock& block) {
  if (ranks.holders_of(block).size() > 1) return {};
  return ranks.slices_of_holders(block).front();
}

}  // namespace

BlockGradient::BlockGradient(const Stream& stream, const TrainedModel& model, size_t block)
    : stream_(stream),
      model_(model),
      block_(block),
      alone_(slices_if_alone(model.ranks(), model.space().blocks()[block])) {
  sums_.emplace(model.space().blocks()[block].elements,
                alone_ && trained().is_all() ? model.shard(block).gradient : View{});
}

size_t BlockGradient::bytes(const ParameterBlock& block, const SliceRange& slices, bool in_place, bool at_once) {
  if (!at_once) return NodeSums::bytes(block.elements, slices, in_place);
  const size_t own = tree_nodes(slices).size() - (in_place && slices.count() > 0 ? 1 : 0);
  return own * allocation_bytes({block.elements}, DType::f32, Device::cpu);
}

void BlockGradient::begin(const SliceRange& slices) {
  slices_ = slices;
  is_list_ = alone_ == slices && !trained().is_all();
  if (is_list_) {
    nodes_ = {model_.shard(block_).gradient};
    return;
  }
  if (stream_.measured != nullptr) {
    nodes_.assign(tree_nodes(slices).size(), View{nullptr, {model_.space().blocks()[block_].elements}, DType::f32});
    return;
  }
  const std::span<const View> buffers = sums_->begin(slices);
  nodes_.assign(buffers.begin(), buffers.end());
}

std::vector<View> BlockGradient::of(const void* place) const {
  const BlockTensor& tensor = model_.tensor_at(block_, place);
  const int64_t count = trained().count_in(tensor.elements_of_block());
  std::vector<View> views;
  if (count == 0) return views;
  if (is_list_) {
    const View list = nodes_.front().slice(trained().before(tensor.offset), count);
    return {count == tensor.elements() ? list.reshaped(tensor.tensor.shape()) : list};
  }
  for (const View& node : nodes_)
    views.push_back(node.slice(tensor.offset, tensor.elements()).reshaped(tensor.tensor.shape()));
  return views;
}

ElementBits BlockGradient::wanted(const void* place) const {
  return trained().bits(model_.tensor_at(block_, place).offset);
}

void BlockGradient::commit() {
  nodes_.clear();
  if (is_list_ || stream_.measured != nullptr) return;
  sums_->commit(stream_);
  if (!alone_ || slices_.end != alone_->end) return;
  const Shard& shard = model_.shard(block_);
  if (!trained().is_all()) take_trained(stream_, shard, shard.owned, sums_->sums().front(), shard.gradient);
  sums_.reset();
}

void BlockGradient::finish(Arena& arena, int64_t bytes_at_once) {
  const TrainRanks& ranks = model_.ranks();
  const ParameterBlock& block = model_.space().blocks()[block_];
  const Shard& shard = model_.shard(block_);
  Communicator& holders = ranks.holders_of(block);
  const ArenaScope scope(arena);
  if (alone_) return;  // it is there since the last commit()
  const std::vector<ElementRange> owned = ranks.owned(model_.space(), block_);
  View owned_gradient = shard.gradient;
  if (!trained().is_all()) {
    // As large on every rank: memory is planned on one of them.
    const int64_t most = std::ranges::max(owned, {}, &ElementRange::count).count();
    owned_gradient = arena.alloc({most}, DType::f32).slice(0, shard.owned.count());
  }
  if (stream_.measured != nullptr) {
    arena.alloc(
        {static_cast<int64_t>(ordered_reduce_scatter_bytes(ranks.slices_of_holders(block), owned, bytes_at_once))},
        DType::u8);
    return;
  }
  ordered_reduce_scatter(stream_, arena, holders, ranks.slices_of_holders(block), sums_->sums(), owned, bytes_at_once,
                         owned_gradient);
  if (!trained().is_all()) take_trained(stream_, shard, shard.owned, owned_gradient, shard.gradient);
}

}  // namespace switchyard
