// Which rank of an expert group hosts which expert.
#pragma once

#include <memory>
#include <span>
#include <vector>

namespace switchyard {

/// A table, in any order; copies share it. What is computed does not depend on it.
class ExpertPlacement {
 public:
  /// rank_of: [experts]. Every rank in [0, num_ranks) hosts an expert at least, else fails (usage).
  ExpertPlacement(std::span<const int> rank_of, int num_ranks);
  /// Contiguous, in the order of the ranks; the first E mod R ranks have one expert more. 1 ≤ num_ranks ≤ num_experts,
  /// else fails (usage).
  static ExpertPlacement blocks(int num_experts, int num_ranks);

  int num_experts() const;
  int num_ranks() const;
  int rank_of(int expert) const;
  int local_index(int expert) const;                ///< among its rank's experts
  std::span<const int> experts_of(int rank) const;  ///< ascending
  int count(int rank) const { return static_cast<int>(experts_of(rank).size()); }
  int max_count() const;  ///< of the rank that hosts most

 private:
  struct Table;
  std::shared_ptr<const Table> table_;
};

}  // namespace switchyard
