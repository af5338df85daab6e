// Sums over slices up the tree of base/slice_tree.h: on a rank as its parts come, then across ranks. Every element is
// the same chain of f32 additions whoever has which slices, and however they come.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/slice_tree.h"
#include "base/stream.h"
#include "comm/communicator.h"

namespace switchyard {

/// Vectors of one length: those of the tree's nodes that a rank's slices so far consist of. What comes next is written
/// piece by piece, in slice order, into buffers from here.
class NodeSums {
 public:
  /// first: [elements] f32, where the sum of the first node comes to lie; no data: in memory from here.
  explicit NodeSums(int64_t elements, View first = {}) : elements_(elements), first_(first) {}
  NodeSums(const NodeSums&) = delete;
  NodeSums& operator=(const NodeSums&) = delete;

  /// A buffer [elements] f32, undefined, for each of tree_nodes(piece). The slices follow those of the piece before.
  std::span<const View> begin(const SliceRange& piece);
  /// What begin() gave is written: halves become nodes, first += second.
  void commit(const Stream& stream);

  /// tree_nodes() of all that was committed, and their sums.
  std::span<const SliceRange> nodes() const { return nodes_; }
  std::span<const View> sums() const { return sums_; }

  /// Bytes of the buffers at most, whatever the pieces of these slices; `first` lies elsewhere or not.
  static size_t bytes(int64_t elements, const SliceRange& slices, bool first_elsewhere);

 private:
  View take();

  const int64_t elements_;
  View first_;  // not yet given out
  std::vector<OwnedTensor> memory_;
  std::vector<View> free_;
  std::vector<SliceRange> nodes_;
  std::vector<View> sums_;  // [nodes_]
  std::vector<SliceRange> piece_;
  std::vector<View> piece_sums_;  // [piece_]
};

/// Elements [first, end) of a vector.
struct ElementRange {
  int64_t first = 0, end = 0;
  int64_t count() const { return end - first; }
};

/// What `whole` has of `range`; where that is nothing, an empty range within `whole`.
inline ElementRange overlap(const ElementRange& range, const ElementRange& whole) {
  return {std::clamp(range.first, whole.first, whole.end), std::clamp(range.end, whole.first, whole.end)};
}

/// The sum over all slices of a vector that every rank has for the nodes of its own slices: rank r gets its elements
/// wanted[r], as [wanted[r].count()] f32 in `out`. Collective.
/// slices_of_rank: [ranks] consecutive, together [0, S), S a power of two; empty where a rank has none.
/// my_nodes: those of tree_nodes(slices_of_rank[rank]), [elements] f32 each. `out` may be a part of these on one rank.
/// In rounds, whose messages take at most bytes_at_once of the arena, beside its alignment (but an element of each rank
/// at least).
void ordered_reduce_scatter(const Stream& stream, Arena& arena, Communicator& group,
                            std::span<const SliceRange> slices_of_rank, std::span<const View> my_nodes,
                            std::span<const ElementRange> wanted, int64_t bytes_at_once, View out);

/// What that takes of the arena on any rank at most.
size_t ordered_reduce_scatter_bytes(std::span<const SliceRange> slices_of_rank, std::span<const ElementRange> wanted,
                                    int64_t bytes_at_once);

}  // namespace switchyard
