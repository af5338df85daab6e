// Elastic freezing: which of a model's parameters train, chosen by how much they matter, exactly, over all ranks.
#pragma once

#include <vector>

#include "base/hash.h"
#include "train/parameters/train_ranks.h"
#include "train/selection/element_set.h"
#include "train/selection/scores.h"

namespace switchyard {

class Selection {
 public:
  /// Everything.
  explicit Selection(const ParameterSpace& space);
  /// To measure with: of every block so large a share.
  static Selection of_shape(const ParameterSpace& space, double share);
  /// By the options. Of N elements that there is a choice of, the largest scores are chosen, ties by canonical name and
  /// offset: of elements exactly ⌊N · (1 − frozen)⌋, of rows and experts the longest row of them, by mean score, that
  /// does not go above. The same on any ranks. Collective over the world; fails (input, usage) on all ranks alike where
  /// a score is no number, or nothing would train.
  Selection(const ParameterSpace& space, const TrainRanks& ranks, const SelectionOptions& options,
            const SelectionScores& scores);

  /// Of a block that this rank holds.
  const ElementSet& of_block(size_t block) const { return sets_[block]; }
  bool is_everything() const { return is_everything_; }
  int64_t num_eligible() const { return num_eligible_; }  ///< elements of the model that there was a choice of
  int64_t num_chosen() const { return num_chosen_; }      ///< of these
  int64_t num_trained() const { return num_trained_; }    ///< with those that train beside them
  const Hash128& hash() const { return hash_; }           ///< of what trains

 private:
  std::vector<ElementSet> sets_;  ///< [blocks]
  bool is_everything_ = false;
  int64_t num_eligible_ = 0, num_chosen_ = 0, num_trained_ = 0;
  Hash128 hash_ = {};
};

}  // namespace switchyard
