// A block's gradient as it comes together: a rank's slices piece by piece, then those of all ranks that hold the block.
#pragma once

#include <optional>
#include <vector>

#include "comm/ordered_sum.h"
#include "kernels/rows/members.h"
#include "train/model/trained_model.h"

namespace switchyard {

class BlockGradient {
 public:
  BlockGradient(const Stream& stream, const TrainedModel& model, size_t block);

  /// Until commit(): where the gradient of the next slices goes, all tensors of the block. An expert's slices are of
  /// all the group, whose rows come to its host. All of them at once, of a block that this rank holds alone, go to the
  /// shard's gradient.
  void begin(const SliceRange& slices);
  /// Whether anything of the block trains. Where not, there are no slices to begin, and nothing is of() or wanted().
  bool is_wanted() const { return !trained().is_empty(); }
  /// One view for each of tree_nodes(slices), of the tensor's shape, undefined at first; none where nothing of the
  /// tensor trains. Only one node may be a list of those of a matrix's elements that train, in order. place: in the
  /// model's weights().
  std::vector<View> of(const void* place) const;
  /// The same of all tensors, one behind the other.
  std::span<const View> nodes() const { return nodes_; }
  /// After the last slices of a block that this rank holds alone, the shard has its gradient.
  void commit();

  /// Which of a tensor's elements train.
  ElementBits wanted(const void* place) const;

  /// The shard's gradient, of all slices: of what trains. Collective over the ranks that hold the block. Nobody's
  /// slices may be missing.
  void finish(Arena& arena, int64_t bytes_at_once);

  /// Bytes beside the arena that the gradients of a layer take at most, of a rank with these slices.
  /// at_once: its slices come in one piece.
  /// in_place: its first node is the shard's gradient.
  static size_t bytes(const ParameterBlock& block, const SliceRange& slices, bool in_place, bool at_once);

 private:
  const ElementSet& trained() const { return *model_.shard(block_).trained; }
  const Stream& stream_;
  const TrainedModel& model_;
  const size_t block_;
  const std::optional<SliceRange> alone_;  ///< all slices, where this rank holds the block alone
  std::optional<NodeSums> sums_;
  SliceRange slices_;        ///< as of begin()
  std::vector<View> nodes_;  ///< of these
  bool is_list_ = false;     ///< the only node has what trains alone
};

}  // namespace switchyard
