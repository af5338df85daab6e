// Who is who among a training job's ranks: the world is groups of `ep` ranks that share the experts, and each expert's
// hosts in all groups are its replicas.
#pragma once

#include <memory>
#include <vector>

#include "base/slice_tree.h"
#include "comm/communicator.h"
#include "comm/ordered_sum.h"
#include "exchange/placement.h"
#include "train/parameters/parameter_space.h"

namespace switchyard {

class TrainRanks {
 public:
  /// Collective over the world, which outlives this. ep: ranks of a group, which divides the world's; slices: a power
  /// of two, dealt to the world's ranks in contiguous runs.
  TrainRanks(Communicator& world, int ep, const ModelConfig& config, int64_t num_slices);
  /// For streams that only measure: of a rank of a world that there may never be, with as many experts as any has.
  static TrainRanks measuring(Communicator& world, int ep, const ModelConfig& config, int64_t num_slices);

  Communicator& world() const { return world_; }
  Communicator& group() const { return *group_; }
  Communicator& replicas() const { return *replicas_; }  ///< the ranks that host the same experts
  const ExpertPlacement& placement() const { return placement_; }
  int rank() const { return world_.rank(); }
  int ep() const { return placement_.num_ranks(); }
  int64_t num_slices() const { return slices_of_rank_.back().end; }

  SliceRange slices() const { return slices_of_rank_[static_cast<size_t>(rank())]; }
  SliceRange slices_of_group() const;
  std::span<const SliceRange> slices_of_rank() const { return slices_of_rank_; }      ///< [world]
  std::span<const SliceRange> slices_of_group_ranks() const;                          ///< [ep], of this rank's group
  std::span<const SliceRange> slices_of_groups() const { return slices_of_groups_; }  ///< [groups] = by replica

  /// The ranks that hold a block, in the order of holders_of()'s ranks: the world's, or an expert's replicas.
  Communicator& holders_of(const ParameterBlock& block) const { return block.expert < 0 ? world_ : *replicas_; }
  /// By holder: which slices' parts of the block's gradient it has.
  std::span<const SliceRange> slices_of_holders(const ParameterBlock& block) const {
    return block.expert < 0 ? slices_of_rank() : slices_of_groups();
  }
  bool holds(const ParameterBlock& block) const {
    return block.expert < 0 || placement_.rank_of(static_cast<int>(block.expert)) == group_->rank();
  }
  /// By holder: the elements of the block whose optimiser state is its. Whole chunks, dealt in turn.
  std::vector<ElementRange> owned(const ParameterSpace& space, size_t block) const;
  /// Adds up in order what each rank has of its own slices.   parts: [all slices · each] f64, 0 of other ranks' slices;
  /// returns [each], the same on all ranks. Collective over the world.
  std::vector<double> sum_over_slices(std::vector<double> parts, size_t each) const;
  /// The world's rank that is the block's holder `i`.
  int world_rank_of_holder(const ParameterBlock& block, int i) const;

 private:
  TrainRanks(Communicator& world, const ExpertPlacement& placement, std::unique_ptr<Communicator> group,
             std::unique_ptr<Communicator> replicas, int64_t num_slices);

  Communicator& world_;
  const ExpertPlacement placement_;
  std::unique_ptr<Communicator> group_, replicas_;
  std::vector<SliceRange> slices_of_rank_, slices_of_groups_;
};

}  // namespace switchyard
