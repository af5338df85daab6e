// A block's gradient as it comes together: a rank's slices piece by piece, then those of all ranks that hold the block.
#pragma once

#include <vector>

#include "comm/ordered_sum.h"
#include "kernels/rows/members.h"
#include "train/trained_model.h"

namespace switchyard {

class BlockGradient {
 public:
  /// buffer: [elements] f32, for the first node, where a rank holds the block alone; no data: the shard's gradient if
  /// all of it trains, or memory from here.
  BlockGradient(const Stream& stream, const TrainedModel& model, size_t block, View buffer = {});

  /// Until commit(): where the gradient of the next slices goes, all tensors of the block. An expert's slices are of
  /// all the group, whose rows come to its host.
  void begin(const SliceRange& slices);
  /// Whether anything of the block trains. Where not, nothing else here is to be called.
  bool is_wanted() const { return !trained().is_empty(); }
  /// One view for each of tree_nodes(slices), of the tensor's shape, undefined at first; none where nothing of the
  /// tensor trains. place: in the model's weights().
  std::vector<View> of(const void* place) const;
  /// The same of all tensors: [elements of the block].
  std::span<const View> nodes() const { return nodes_; }
  void commit();

  /// Which of a tensor's elements train.
  ElementBits wanted(const void* place) const;

  /// The shard's gradient, of all slices: of what trains. Collective over the ranks that hold the block. Nobody's
  /// slices may be missing.
  void finish(Arena& arena, int64_t bytes_at_once);

  /// The same of a block that is held alone: takes what trains out of its only node, by the caller's thread alone.
  void take() const;

  /// Bytes beside the arena that the gradients of a layer take at most, of a rank with these slices.
  /// at_once: its slices come in one piece.
  /// in_place: it is held alone, and its first node has a place already.
  static size_t bytes(const ParameterBlock& block, const SliceRange& slices, bool in_place, bool at_once);

 private:
  const ElementSet& trained() const { return *model_.shard(block_).trained; }
  const Stream& stream_;
  const TrainedModel& model_;
  const size_t block_;
  NodeSums sums_;
  std::vector<View> nodes_;  ///< as of begin()
};

}  // namespace switchyard
