#include "comm/ordered_sum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace switchyard {
namespace {

constexpr int64_t kBlock = 4096;  // elements of a task: what is added several times stays in the cache

/// body(first, count) for blocks of [0, elements), in parallel.
template <class Body>
void for_blocks(const Stream& stream, int64_t elements, const Body& body) {
  stream.parallel_for((elements + kBlock - 1) / kBlock,
                      [&](int64_t task, int) { body(task * kBlock, std::min(kBlock, elements - task * kBlock)); });
}

/// first += second
struct Addition {
  View first, second;
};

/// Appends a node. What makes it, with those before it, the largest nodes there are, is added to the list.
void append(std::vector<SliceRange>& nodes, std::vector<View>& sums, const SliceRange& node, const View& sum,
            std::vector<Addition>& additions) {
  nodes.push_back(node);
  sums.push_back(sum);
  while (nodes.size() > 1 && are_halves(nodes[nodes.size() - 2], nodes.back())) {
    const int64_t end = nodes.back().end;
    additions.push_back({sums[sums.size() - 2], sums.back()});
    nodes.pop_back();
    sums.pop_back();
    nodes.back().end = end;
  }
}

void add_up(const Stream& stream, std::span<const Addition> additions, int64_t elements) {
  if (additions.empty()) return;
  for_blocks(stream, elements, [&](int64_t begin, int64_t count) {
    for (const Addition& addition : additions) {
      float* first = addition.first.as<float>() + begin;
      const float* second = addition.second.as<float>() + begin;
      for (int64_t i = 0; i < count; ++i) first[i] += second[i];
    }
  });
}

void copy_elements(const Stream& stream, ConstView from, View to) {
  if (from.data == to.data) return;
  for_blocks(stream, to.elements(), [&](int64_t first, int64_t count) {
    std::memcpy(to.as<float>() + first, from.as<float>() + first, static_cast<size_t>(count) * sizeof(float));
  });
}

/// The most nodes that slices [first, …) have, wherever below `end` they end: until the largest node that can begin at
/// `first` is complete as many as their number has binary digits 1, then that one and those that follow it.
int64_t most_nodes_from(int64_t first, int64_t end) {
  const int64_t largest = first == 0 ? end + 1 : first & -first;
  const int64_t inside = std::min(largest - 1, end - first);
  const int64_t most = std::bit_width(static_cast<uint64_t>(inside + 1)) - 1;
  return largest > end - first ? most : std::max(most, 1 + most_nodes_from(first + largest, end));
}

int64_t num_nodes(const SliceRange& slices) {
  return std::ssize(tree_nodes(slices));
}

/// Of an ordered_reduce_scatter: every rank gets a run of its elements at once, from each rank that of all its nodes.
struct Rounds {
  int64_t nodes = 0, most_nodes = 0;  ///< of all ranks, of any rank
  int64_t elements = 0;               ///< of a rank's at once
  int64_t count = 0;

  Rounds(std::span<const SliceRange> slices_of_rank, std::span<const ElementRange> wanted, int64_t bytes_at_once) {
    for (const SliceRange& slices : slices_of_rank) {
      nodes += num_nodes(slices);
      most_nodes = std::max(most_nodes, num_nodes(slices));
    }
    const auto ranks = std::ssize(slices_of_rank);
    const int64_t longest = std::ranges::max(wanted, {}, &ElementRange::count).count();
    const int64_t bytes_each = (nodes + ranks * most_nodes) * static_cast<int64_t>(sizeof(float));
    elements = std::min(longest, std::max<int64_t>(1, bytes_at_once / std::max<int64_t>(1, bytes_each)));
    count = longest == 0 ? 0 : (longest + elements - 1) / elements;
  }

  ElementRange of(const ElementRange& range, int64_t round) const {
    const auto at = [&](int64_t i) { return std::min(range.first + i * elements, range.end); };
    return {at(round), at(round + 1)};
  }
};

/// The messages of a round, a row an element.
struct Messages {
  View sent;      ///< [ranks, my nodes, elements]
  View received;  ///< [nodes of all ranks, elements]

  Messages(Arena& arena, const Rounds& rounds, int64_t ranks, int64_t my_nodes)
      : sent(arena.alloc({ranks * my_nodes * rounds.elements}, DType::f32)),
        received(arena.alloc({rounds.nodes * rounds.elements}, DType::f32)) {}
};

/// Copies to each rank what it wants this round of every node of ours; their counts.
std::vector<int64_t> pack(const Stream& stream, std::span<const View> my_nodes, std::span<const ElementRange> wanted,
                          View sent) {
  struct Copy {
    ConstView from;
    View to;
  };
  std::vector<Copy> copies;
  std::vector<int64_t> counts;
  int64_t end = 0;
  for (const ElementRange& range : wanted) {
    counts.push_back(std::ssize(my_nodes) * range.count());
    if (range.count() == 0) continue;
    for (const View& node : my_nodes) {
      copies.push_back({node.slice(range.first, range.count()), sent.slice(end, range.count())});
      end += range.count();
    }
  }
  stream.parallel_for(std::ssize(copies), [&](int64_t task, int) {
    const auto& [from, to] = copies[static_cast<size_t>(task)];
    std::memcpy(to.data, from.data, from.bytes());
  });
  return counts;
}

/// The root's sum of `elements` of every node, which lie one after the other; in place of the first.
View add_to_root(const Stream& stream, std::span<const SliceRange> slices_of_rank, View parts, int64_t elements) {
  std::vector<SliceRange> nodes;
  std::vector<View> sums;
  std::vector<Addition> additions;
  int64_t at = 0;
  for (const SliceRange& slices : slices_of_rank)
    for (const SliceRange& node : tree_nodes(slices)) {
      append(nodes, sums, node, parts.slice(at, elements), additions);
      at += elements;
    }
  SWITCHYARD_CHECK(nodes.size() == 1 && nodes[0].first == 0, "the slices of all ranks do not make a tree");
  add_up(stream, additions, elements);
  return sums[0];
}

}  // namespace

View NodeSums::take() {
  if (first_.data != nullptr) return std::exchange(first_, {});
  if (free_.empty()) return memory_.emplace_back(Shape{elements_}, DType::f32).view();
  const View view = free_.back();
  free_.pop_back();
  return view;
}

std::span<const View> NodeSums::begin(const SliceRange& piece) {
  SWITCHYARD_CHECK(piece_.empty(), "slices {} … {} begun before those up to {} are committed", piece.first, piece.end,
                   piece_.back().end);
  SWITCHYARD_CHECK(nodes_.empty() || nodes_.back().end == piece.first, "slices {} … {} after those up to {}",
                   piece.first, piece.end, nodes_.back().end);
  piece_ = tree_nodes(piece);
  for (size_t i = 0; i < piece_.size(); ++i) piece_sums_.push_back(take());
  return piece_sums_;
}

void NodeSums::commit(const Stream& stream) {
  std::vector<Addition> additions;
  for (size_t i = 0; i < piece_.size(); ++i) append(nodes_, sums_, piece_[i], piece_sums_[i], additions);
  piece_.clear();
  piece_sums_.clear();
  add_up(stream, additions, elements_);
  for (const Addition& addition : additions) free_.push_back(addition.second);
}

size_t NodeSums::bytes(int64_t elements, const SliceRange& slices, bool first_elsewhere) {
  int64_t most = 0;
  for (int64_t piece = slices.first; piece < slices.end; ++piece)
    most = std::max(most, num_nodes({slices.first, piece}) + most_nodes_from(piece, slices.end));
  if (first_elsewhere && most > 0) --most;
  return static_cast<size_t>(most) * allocation_bytes({elements}, DType::f32, Device::cpu);
}

void ordered_reduce_scatter(const Stream& stream, Arena& arena, Communicator& group,
                            std::span<const SliceRange> slices_of_rank, std::span<const View> my_nodes,
                            std::span<const ElementRange> wanted, int64_t bytes_at_once, View out) {
  const auto ranks = static_cast<size_t>(group.size()), me = static_cast<size_t>(group.rank());
  SWITCHYARD_CHECK(slices_of_rank.size() == ranks && wanted.size() == ranks,
                   "slices of {} ranks, elements of {}, for {}", slices_of_rank.size(), wanted.size(), ranks);
  SWITCHYARD_CHECK(std::ssize(my_nodes) == num_nodes(slices_of_rank[me]), "{} vectors for the slices {} … {}",
                   my_nodes.size(), slices_of_rank[me].first, slices_of_rank[me].end);
  SWITCHYARD_CHECK(out.elements() == wanted[me].count(), "out {} for {} elements", out.shape.str(), wanted[me].count());
  if (ranks == 1) {
    SWITCHYARD_CHECK(my_nodes.size() == 1, "a root of {} nodes", my_nodes.size());
    return copy_elements(stream, my_nodes[0].slice(wanted[0].first, wanted[0].count()), out);
  }

  const Rounds rounds(slices_of_rank, wanted, bytes_at_once);
  const ArenaScope scope(arena);
  const Messages messages(arena, rounds, std::ssize(wanted), std::ssize(my_nodes));
  for (int64_t round = 0; round < rounds.count; ++round) {
    std::vector<ElementRange> ranges;
    for (const ElementRange& range : wanted) ranges.push_back(rounds.of(range, round));
    const ElementRange mine = ranges[me];
    std::vector<int64_t> received;
    for (const SliceRange& slices : slices_of_rank) received.push_back(num_nodes(slices) * mine.count());
    const std::vector<int64_t> sent = pack(stream, my_nodes, ranges, messages.sent);
    group.start_all_to_all_v(stream, messages.sent, sent, messages.received, received).wait();
    const View sum = add_to_root(stream, slices_of_rank, messages.received, mine.count());
    copy_elements(stream, sum, out.slice(mine.first - wanted[me].first, mine.count()));
  }
}

size_t ordered_reduce_scatter_bytes(std::span<const SliceRange> slices_of_rank, std::span<const ElementRange> wanted,
                                    int64_t bytes_at_once) {
  if (wanted.size() == 1) return 0;
  const Rounds rounds(slices_of_rank, wanted, bytes_at_once);
  Arena arena = Arena::measuring(Device::cpu);
  const Messages most(arena, rounds, std::ssize(wanted), rounds.most_nodes);
  return arena.high_water();
}

}  // namespace switchyard
