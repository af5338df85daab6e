// Which elements of a model are chosen, over all ranks: by their scores, or by the routing.
#pragma once

#include <span>
#include <vector>

#include "train/parameters/train_ranks.h"
#include "train/selection/element_set.h"
#include "train/selection/scores.h"

namespace switchyard {

/// The bits of what is chosen, block by block.
class ChosenBits {
 public:
  explicit ChosenBits(const ParameterSpace& space) : space_(space), words_(space.blocks().size()) {}

  void insert(size_t block, const ElementRange& elements);
  /// Of the ranks that hold a block each has inserted another part of what is chosen of it. Collective over the world.
  void share(const TrainRanks& ranks);
  ElementSet take(size_t block);

 private:
  std::vector<uint64_t>& words(size_t block);

  const ParameterSpace& space_;
  std::vector<std::vector<uint64_t>> words_;  ///< [blocks]; none: nothing was inserted
};

// All of these insert what is chosen of `eligible` (in canonical order), each rank its part, and return how many
// elements that is, on all ranks together. Collective over the world; what a source of scores throws, all ranks throw.

/// Elements or rows: the largest scores, or mean scores, that are together at most `most` elements.
int64_t choose_units(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                     Granularity granularity, int64_t most, ElementScores& scores, ChosenBits& bits);
/// Experts, likewise.
int64_t choose_experts(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                       int64_t most, ElementScores& scores, ChosenBits& bits);
/// In each layer the experts with the largest parts of the routing, until these reach top_p of their sum over the
/// layer's experts; ties to the lowest number.   parts: [layers, E]
int64_t choose_by_routing(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                          double top_p, std::span<const double> parts, ChosenBits& bits);

}  // namespace switchyard
