// Expert placements that are not blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "exchange/placement.h"

namespace switchyard::test {

using MakePlacement = std::function<ExpertPlacement(int num_experts, int num_ranks)>;

/// Expert e on rank e mod R.
inline ExpertPlacement cyclic(int num_experts, int num_ranks) {
  std::vector<int> rank_of;
  for (int expert = 0; expert < num_experts; ++expert) rank_of.push_back(expert % num_ranks);
  return {rank_of, num_ranks};
}

/// Anywhere; ranks have different numbers of experts.
inline MakePlacement scattered_experts(uint64_t seed) {
  return [seed](int num_experts, int num_ranks) {
    std::vector<int> rank_of;
    for (int expert = 0; expert < num_experts; ++expert)  // an expert on every rank, the others where it happens
      rank_of.push_back(expert < num_ranks ? expert
                                           : static_cast<int>(random_bits(seed, static_cast<uint64_t>(expert)) %
                                                              static_cast<uint64_t>(num_ranks)));
    for (size_t i = rank_of.size() - 1; i > 0; --i) std::swap(rank_of[i], rank_of[random_bits(~seed, i) % (i + 1)]);
    return ExpertPlacement(rank_of, num_ranks);
  };
}

inline std::vector<std::pair<std::string, MakePlacement>> all_placements() {
  return {{"blocks", ExpertPlacement::blocks},
          {"cyclic", cyclic},
          {"scattered_1", scattered_experts(1)},
          {"scattered_2", scattered_experts(2)}};
}

}  // namespace switchyard::test
