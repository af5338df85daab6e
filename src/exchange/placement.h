// Which rank of an expert group hosts which expert.
#pragma once

namespace switchyard {

/// Contiguous blocks: rank r hosts [first(r), first(r+1)); the first E mod R ranks have one expert more.
class ExpertPlacement {
 public:
  ExpertPlacement(int num_experts, int num_ranks);  ///< 1 ≤ num_ranks ≤ num_experts
  int num_experts() const { return num_experts_; }
  int num_ranks() const { return num_ranks_; }
  int first(int rank) const;  ///< rank in [0, num_ranks]
  int count(int rank) const { return first(rank + 1) - first(rank); }
  int rank_of(int expert) const;

 private:
  int num_experts_, num_ranks_;
};

}  // namespace switchyard
