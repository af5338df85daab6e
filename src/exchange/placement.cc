#include "exchange/placement.h"

#include <algorithm>

#include "base/error.h"

namespace switchyard {

ExpertPlacement::ExpertPlacement(int num_experts, int num_ranks) : num_experts_(num_experts), num_ranks_(num_ranks) {
  if (num_ranks < 1 || num_ranks > num_experts)
    fail(ExitCode::usage, "an expert group of {} ranks: expected 1 to {}, the number of experts", num_ranks,
         num_experts);
}

int ExpertPlacement::first(int rank) const {
  SWITCHYARD_CHECK(rank >= 0 && rank <= num_ranks_, "rank {} of {}", rank, num_ranks_);
  return rank * (num_experts_ / num_ranks_) + std::min(rank, num_experts_ % num_ranks_);
}

int ExpertPlacement::rank_of(int expert) const {
  SWITCHYARD_CHECK(expert >= 0 && expert < num_experts_, "expert {} of {}", expert, num_experts_);
  const int share = num_experts_ / num_ranks_;
  const int num_larger = num_experts_ % num_ranks_;  // ranks with share + 1 experts
  const int in_larger = num_larger * (share + 1);
  return expert < in_larger ? expert / (share + 1) : num_larger + (expert - in_larger) / share;
}

}  // namespace switchyard
