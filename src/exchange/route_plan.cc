#include "exchange/route_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace switchyard {
namespace {

/// Calls visit(token, slot, expert, rank of the expert, whether it is the token's first expert on that rank).
template <class Visit>
void for_each_assignment(ConstView expert_of, const ExpertPlacement& placement, Visit visit) {
  const int64_t num_tokens = expert_of.shape[0], top_k = expert_of.shape[1];
  const int32_t* experts = expert_of.as<int32_t>();
  std::vector<int32_t> last_to_rank(static_cast<size_t>(placement.num_ranks()), -1);
  std::vector<int32_t> last_to_expert(static_cast<size_t>(placement.num_experts()), -1);
  for (int32_t token = 0; token < num_tokens; ++token)
    for (int32_t slot = 0; slot < top_k; ++slot) {
      const int32_t expert = experts[token * top_k + slot];
      SWITCHYARD_CHECK(expert >= 0 && expert < placement.num_experts(), "token {}, slot {}: expert {} of {}", token,
                       slot, expert, placement.num_experts());
      const int rank = placement.rank_of(expert);
      SWITCHYARD_CHECK(std::exchange(last_to_expert[static_cast<size_t>(expert)], token) != token,
                       "token {} has expert {} twice", token, expert);
      const bool first_on_rank = std::exchange(last_to_rank[static_cast<size_t>(rank)], token) != token;
      visit(token, slot, expert, rank, first_on_rank);
    }
}

}  // namespace

GroupedRows OwnedGroupedRows::for_ops(const Stream& stream, Arena& arena) const {
  const auto there = [&]<class T>(const std::vector<T>& list) -> std::span<const T> {
    return {static_cast<const T*>(on_device(stream, arena, view_of(list)).data), list.size()};
  };
  return {there(offsets), there(input_row), there(output_row)};
}

size_t OwnedGroupedRows::device_bytes(int64_t num_groups, int64_t num_entries, Device device) {
  if (device == Device::cpu) return 0;
  return allocation_bytes({num_groups + 1}, DType::i64, device) +
         2 * allocation_bytes({num_entries}, DType::i32, device);
}

std::span<const int32_t> RoutePlan::tokens_to(int rank, int64_t first, int64_t count) const {
  const int64_t begin = std::min(first, rows_to(rank));
  const int64_t end = std::min(first + count, rows_to(rank));
  return std::span(tokens).subspan(static_cast<size_t>(offsets[static_cast<size_t>(rank)] + begin),
                                   static_cast<size_t>(end - begin));
}

RoutePlan plan_routes(ConstView expert_of, const ExpertPlacement& placement, int rank) {
  SWITCHYARD_CHECK(expert_of.shape.rank() == 2, "expert_of {}: expected [tokens, k]", expert_of.shape.str());
  SWITCHYARD_CHECK(expert_of.elements() <= std::numeric_limits<int32_t>::max(),
                   "{} (token, slot) pairs in one exchange", expert_of.elements());
  const auto top_k = static_cast<int32_t>(expert_of.shape[1]);
  const std::span<const int> local_experts = placement.experts_of(rank);

  RoutePlan plan;
  plan.tokens_per_expert.resize(static_cast<size_t>(placement.num_experts()));
  plan.offsets.resize(static_cast<size_t>(placement.num_ranks()) + 1);
  for_each_assignment(expert_of, placement, [&](int32_t, int32_t, int32_t expert, int to, bool first_on_rank) {
    ++plan.tokens_per_expert[static_cast<size_t>(expert)];
    if (to != rank && first_on_rank) ++plan.offsets[static_cast<size_t>(to) + 1];
  });
  std::partial_sum(plan.offsets.begin(), plan.offsets.end(), plan.offsets.begin());
  plan.tokens.resize(static_cast<size_t>(plan.offsets.back()));
  plan.local.offsets.resize(local_experts.size() + 1);
  for (size_t i = 0; i < local_experts.size(); ++i)
    plan.local.offsets[i + 1] = plan.local.offsets[i] + plan.tokens_per_expert[static_cast<size_t>(local_experts[i])];
  plan.local.input_row.resize(static_cast<size_t>(plan.local.offsets.back()));
  plan.local.output_row.resize(plan.local.input_row.size());

  std::vector<int64_t> next_token = plan.offsets, next_local = plan.local.offsets;
  for_each_assignment(expert_of, placement,
                      [&](int32_t token, int32_t slot, int32_t expert, int to, bool first_on_rank) {
                        if (to == rank) {
                          const auto group = static_cast<size_t>(placement.local_index(expert));
                          const auto i = static_cast<size_t>(next_local[group]++);
                          plan.local.input_row[i] = token;
                          plan.local.output_row[i] = token * top_k + slot;
                        } else if (first_on_rank) {
                          plan.tokens[static_cast<size_t>(next_token[static_cast<size_t>(to)]++)] = token;
                        }
                      });
  return plan;
}

size_t route_plan_bytes(int64_t num_tokens, int top_k, const ExpertPlacement& placement, int num_local) {
  const int num_ranks = placement.num_ranks(), num_experts = placement.num_experts();
  // A local slot takes two numbers, another rank at most one: most when as many slots as possible are local.
  const int local_slots = std::min(top_k, num_local);
  const int remote_rows = std::min(top_k - local_slots, num_ranks - 1);
  const int64_t numbers = num_tokens * (2 * local_slots + remote_rows);
  const int64_t tables =
      int64_t{8} * (2 * (num_ranks + 1) + 2 * (num_local + 1) + num_experts) + int64_t{4} * (num_ranks + num_experts);
  return static_cast<size_t>(numbers * int64_t{sizeof(int32_t)} + tables);
}

}  // namespace switchyard
