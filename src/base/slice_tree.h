// A sum over slices that does not depend on who adds up what.
//
// The parts of slices 0 … S−1, S a power of two, are added up a binary tree: its nodes are aligned runs of 1, 2, 4, …
// slices, and a node's sum is that of its first half plus that of its second. Whoever has the slices [first, end) adds
// them up to the largest nodes that these consist of; the nodes of all are added up to the root by somebody else. No
// part is ever −0, so that to leave one out that has nothing is to add it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

/// Consecutive slices [first, end).
struct SliceRange {
  int64_t first = 0, end = 0;
  int64_t count() const { return end - first; }
  bool operator==(const SliceRange&) const = default;
};

/// Whether a and b, in this order, are the two halves of a node.
constexpr bool are_halves(const SliceRange& a, const SliceRange& b) {
  return a.end == b.first && a.count() == b.count() && a.first % (2 * a.count()) == 0;
}

/// The largest nodes that the slices consist of, in order: at most 2 log₂ S. They are what is left of a list to which
/// one slice after the other is appended, while its last two elements that are halves of a node become that node.
inline std::vector<SliceRange> tree_nodes(const SliceRange& slices) {
  std::vector<SliceRange> nodes;
  for (int64_t first = slices.first; first < slices.end;) {
    int64_t count = 1;
    while (first % (2 * count) == 0 && first + 2 * count <= slices.end) count *= 2;
    nodes.push_back({first, first + count});
    first += count;
  }
  return nodes;
}

/// Rows sorted by group, and in each group by slice.
struct SlicedRows {
  SliceRange slices;
  std::span<const int64_t> offsets;  ///< [groups · slices.count() + 1]: where each group's part of each slice begins
  /// A slice's part of a sum is not the sum over its rows, but that one's square, element by element.
  bool squared = false;

  int64_t num_groups() const { return (static_cast<int64_t>(offsets.size()) - 1) / slices.count(); }
  int64_t num_rows() const { return offsets.back(); }
  /// Of one group: [slices.count() + 1].
  std::span<const int64_t> of_group(int64_t group) const {
    const auto count = static_cast<size_t>(slices.count());
    return offsets.subspan(static_cast<size_t>(group) * count, count + 1);
  }
};

}  // namespace switchyard
