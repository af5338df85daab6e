#include "exchange/placement.h"

#include <algorithm>

#include "base/error.h"

namespace switchyard {
namespace {

void check_num_ranks(int64_t num_experts, int num_ranks) {
  if (num_ranks < 1 || num_ranks > num_experts)
    fail(ExitCode::usage, "an expert group of {} ranks: expected 1 to {}, the number of experts", num_ranks,
         num_experts);
}

}  // namespace

struct ExpertPlacement::Table {
  std::vector<int> rank_of, local_index;     // [experts]
  std::vector<std::vector<int>> experts_of;  // [ranks]
  int max_count = 0;

  size_t at(int expert) const {
    SWITCHYARD_CHECK(expert >= 0 && static_cast<size_t>(expert) < rank_of.size(), "expert {} of {}", expert,
                     rank_of.size());
    return static_cast<size_t>(expert);
  }
};

ExpertPlacement::ExpertPlacement(std::span<const int> rank_of, int num_ranks) {
  check_num_ranks(std::ssize(rank_of), num_ranks);
  Table table;
  table.rank_of.assign(rank_of.begin(), rank_of.end());
  table.experts_of.resize(static_cast<size_t>(num_ranks));
  for (int expert = 0; expert < std::ssize(rank_of); ++expert) {
    const int rank = rank_of[static_cast<size_t>(expert)];
    if (rank < 0 || rank >= num_ranks)
      fail(ExitCode::usage, "expert {} is placed on rank {}: expected 0 to {}", expert, rank, num_ranks - 1);
    std::vector<int>& experts = table.experts_of[static_cast<size_t>(rank)];
    table.local_index.push_back(static_cast<int>(std::ssize(experts)));
    experts.push_back(expert);
  }
  for (size_t rank = 0; rank < table.experts_of.size(); ++rank) {
    const int count = static_cast<int>(std::ssize(table.experts_of[rank]));
    if (count == 0)
      fail(ExitCode::usage, "rank {} hosts none of {} experts: expected at least one", rank, rank_of.size());
    table.max_count = std::max(table.max_count, count);
  }
  table_ = std::make_shared<const Table>(std::move(table));
}

ExpertPlacement ExpertPlacement::blocks(int num_experts, int num_ranks) {
  check_num_ranks(num_experts, num_ranks);
  std::vector<int> rank_of;
  for (int rank = 0; rank < num_ranks; ++rank)
    rank_of.insert(rank_of.end(),
                   static_cast<size_t>(num_experts / num_ranks + (rank < num_experts % num_ranks ? 1 : 0)), rank);
  return {rank_of, num_ranks};
}

int ExpertPlacement::num_experts() const {
  return static_cast<int>(std::ssize(table_->rank_of));
}

int ExpertPlacement::num_ranks() const {
  return static_cast<int>(std::ssize(table_->experts_of));
}

int ExpertPlacement::rank_of(int expert) const {
  return table_->rank_of[table_->at(expert)];
}

int ExpertPlacement::local_index(int expert) const {
  return table_->local_index[table_->at(expert)];
}

std::span<const int> ExpertPlacement::experts_of(int rank) const {
  SWITCHYARD_CHECK(rank >= 0 && rank < num_ranks(), "rank {} of {}", rank, num_ranks());
  return table_->experts_of[static_cast<size_t>(rank)];
}

int ExpertPlacement::max_count() const {
  return table_->max_count;
}

}  // namespace switchyard
