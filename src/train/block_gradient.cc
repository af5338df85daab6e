#include "train/block_gradient.h"

#include <algorithm>

namespace switchyard {
namespace {

/// Where a rank that holds a block alone wants its gradient, if all of it trains.
View whole_gradient(const TrainedModel& model, size_t block) {
  const bool alone = model.ranks().holders_of(model.space().blocks()[block]).size() == 1;
  return alone && model.shard(block).trained->is_all() ? model.shard(block).gradient : View{};
}

}  // namespace

BlockGradient::BlockGradient(const Stream& stream, const TrainedModel& model, size_t block, View buffer)
    : stream_(stream),
      model_(model),
      block_(block),
      sums_(model.space().blocks()[block].elements,
            buffer.shape.rank() > 0 && !trained().is_all() ? buffer : whole_gradient(model, block)) {}

size_t BlockGradient::bytes(const ParameterBlock& block, const SliceRange& slices, bool in_place, bool at_once) {
  if (!at_once) return NodeSums::bytes(block.elements, slices, in_place);
  const size_t own = tree_nodes(slices).size() - (in_place && slices.count() > 0 ? 1 : 0);
  return own * allocation_bytes({block.elements}, DType::f32, Device::cpu);
}

void BlockGradient::begin(const SliceRange& slices) {
  if (stream_.measured != nullptr) {
    nodes_.assign(tree_nodes(slices).size(), View{nullptr, {model_.space().blocks()[block_].elements}, DType::f32});
    return;
  }
  const std::span<const View> buffers = sums_.begin(slices);
  nodes_.assign(buffers.begin(), buffers.end());
}

std::vector<View> BlockGradient::of(const void* place) const {
  const BlockTensor& tensor = model_.tensor_at(block_, place);
  std::vector<View> views;
  if (trained().count_in(tensor.elements_of_block()) == 0) return views;
  for (const View& node : nodes_)
    views.push_back(node.slice(tensor.offset, tensor.elements()).reshaped(tensor.tensor.shape()));
  return views;
}

ElementBits BlockGradient::wanted(const void* place) const {
  const std::span<const uint64_t> words = trained().words();
  return {words.empty() ? nullptr : words.data(), model_.tensor_at(block_, place).offset};
}

void BlockGradient::commit() {
  if (stream_.measured == nullptr) sums_.commit(stream_);
  nodes_.clear();
}

void BlockGradient::take() const {
  const Shard& shard = model_.shard(block_);
  if (stream_.measured != nullptr || trained().is_all()) return;
  trained().compress(shard.owned, sums_.sums().front().span<float>(), shard.gradient.span<float>());
}

void BlockGradient::finish(Arena& arena, int64_t bytes_at_once) {
  const TrainRanks& ranks = model_.ranks();
  const ParameterBlock& block = model_.space().blocks()[block_];
  const Shard& shard = model_.shard(block_);
  Communicator& holders = ranks.holders_of(block);
  const ArenaScope scope(arena);
  if (holders.size() == 1) {
    if (trained().is_all() || stream_.measured != nullptr) return;  // the only node is where it is wanted
    return take_trained(stream_, shard, shard.owned, sums_.sums().front(), shard.gradient);
  }
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
  ordered_reduce_scatter(stream_, arena, holders, ranks.slices_of_holders(block), sums_.sums(), owned, bytes_at_once,
                         owned_gradient);
  if (!trained().is_all()) take_trained(stream_, shard, shard.owned, owned_gradient, shard.gradient);
}

}  // namespace switchyard
