#include "comm/expert_exchange.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "comm/exchange_round.h"
#include "comm/route_plan.h"

namespace switchyard {
namespace {

RoundLayout layout_of(const ExchangeShape& shape, int64_t rows_per_pair, int num_buffers) {
  return {.num_ranks = shape.placement.num_ranks(),
          .dim = shape.dim,
          .top_k = shape.top_k,
          .results_per_row = std::min(shape.top_k, shape.placement.count(0)),  // no rank hosts more experts than rank 0
          .dtype = shape.dtype,
          .rows_per_pair = rows_per_pair,
          .num_buffers = num_buffers};
}

/// The most rows of a round whose buffers fit in `budget`; `one_row` has the buffers of a single row. At least one.
int64_t rows_within(int64_t budget, const RoundLayout& one_row) {
  if (one_row.num_ranks == 1) return 1;
  constexpr int64_t kMaxRow = std::numeric_limits<int32_t>::max();  // rows are numbered in 32 bits
  int64_t rows = 0;
  RoundLayout layout = one_row;
  const auto fits = [&](int64_t n) {
    layout.rows_per_pair = n;
    return layout.num_results() <= kMaxRow && static_cast<int64_t>(layout.arena_bytes()) <= budget;
  };
  for (int64_t step = int64_t{1} << 30; step > 0; step /= 2)
    if (fits(rows + step)) rows += step;
  return std::max<int64_t>(rows, 1);
}

}  // namespace

ExpertExchange::ExpertExchange(Communicator& group, ExpertPlacement placement, int64_t dim, int top_k, DType dtype,
                               int64_t exchange_bytes)
    : group_(group), shape_{placement, dim, top_k, dtype, exchange_bytes} {
  SWITCHYARD_CHECK(placement.num_ranks() == group.size(), "experts placed on {} ranks, a group of {}",
                   placement.num_ranks(), group.size());
  SWITCHYARD_CHECK(dim >= 1 && top_k >= 1 && top_k <= placement.num_experts(), "rows of {}, {} of {} experts", dim,
                   top_k, placement.num_experts());
  rows_per_round_ = rows_within(exchange_bytes, layout_of(shape_, 1, 2));
  counters_.bytes_to.resize(static_cast<size_t>(group.size()));
  counters_.tokens_per_expert.resize(static_cast<size_t>(placement.num_experts()));
}

int64_t ExpertExchange::least_exchange_bytes() const {
  return static_cast<int64_t>(layout_of(shape_, 1, 2).arena_bytes());
}

ExchangeScratch exchange_scratch(const ExchangeShape& shape, int rank, int64_t max_tokens) {
  const int64_t rows_per_round = rows_within(shape.exchange_bytes, layout_of(shape, 1, 2));
  const RoundLayout rounds =
      layout_of(shape, std::min(rows_per_round, max_tokens), max_tokens > rows_per_round ? 2 : 1);
  const auto num_ranks = static_cast<size_t>(shape.placement.num_ranks());
  const size_t counts = num_ranks > 1 ? (num_ranks + 1) * num_ranks * sizeof(int32_t) : 0;
  const size_t plan = route_plan_bytes(max_tokens, shape.top_k, shape.placement, rank);
  const size_t lists = num_ranks > 1 ? rounds.host_bytes(shape.placement.count(rank)) : 0;
  return {num_ranks > 1 ? rounds.arena_bytes() : 0, plan + counts + lists};
}

void ExpertExchange::check_shapes(ConstView x, ConstView expert_of, View y) const {
  const int64_t tokens = x.rows();
  SWITCHYARD_CHECK(x.shape == Shape({tokens, shape_.dim}) && x.dtype == shape_.dtype,
                   "x: {} {}, expected {} [tokens, {}]", name_of(x.dtype), x.shape.str(), name_of(shape_.dtype),
                   shape_.dim);
  SWITCHYARD_CHECK(expert_of.shape == Shape({tokens, shape_.top_k}), "expert_of: {}, expected [{}, {}]",
                   expert_of.shape.str(), tokens, shape_.top_k);
  SWITCHYARD_CHECK(y.shape == Shape({tokens * shape_.top_k, shape_.dim}) && y.dtype == shape_.dtype,
                   "y: {} {}, expected {} [{}, {}]", name_of(y.dtype), y.shape.str(), name_of(shape_.dtype),
                   tokens * shape_.top_k, shape_.dim);
}

/// The whole matrix, so that all ranks know the number of rounds. Waiting for the last rank happens here.
std::vector<int32_t> ExpertExchange::exchange_counts(const RoutePlan& plan) {
  const int num_ranks = group_.size();
  std::vector<int32_t> mine, all(static_cast<size_t>(num_ranks) * static_cast<size_t>(num_ranks));
  mine.reserve(static_cast<size_t>(num_ranks));
  for (int r = 0; r < num_ranks; ++r) mine.push_back(static_cast<int32_t>(plan.rows_to(r)));
  const auto start = std::chrono::steady_clock::now();
  group_.all_gather({mine.data(), {1, num_ranks}, DType::i32}, {all.data(), {num_ranks, num_ranks}, DType::i32});
  counters_.wait_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return all;
}

void ExpertExchange::run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, const Experts& experts,
                         View y) {
  check_shapes(x, expert_of, y);
  ExchangeCall call{
      group_, shape_.placement, counters_, x, expert_of, y, plan_routes(expert_of, shape_.placement, group_.rank()),
      {}};
  ++counters_.calls;
  for (size_t e = 0; e < call.plan.tokens_per_expert.size(); ++e)
    counters_.tokens_per_expert[e] += call.plan.tokens_per_expert[e];
  const auto compute_local = [&](const Stream& s) {
    if (!call.plan.local.input_row.empty()) experts(s, x, call.plan.local.view(), y);
  };
  if (group_.size() == 1) return compute_local(stream);

  call.row_counts = exchange_counts(call.plan);
  const int64_t most_rows = std::ranges::max(call.row_counts);
  const int64_t num_rounds = (most_rows + rows_per_round_ - 1) / rows_per_round_;
  counters_.rounds += num_rounds;
  if (num_rounds == 0) return compute_local(stream);

  const ArenaScope scope(arena);
  const RoundLayout rounds = layout_of(shape_, std::min(rows_per_round_, most_rows), num_rounds > 1 ? 2 : 1);
  Dispatch dispatch(call, rounds, arena);
  Return results(call, rounds, arena);
  Stream polling = stream;
  polling.poll = [&] {
    dispatch.poll();
    results.poll();
    if (stream.poll) stream.poll();
  };

  dispatch.start(polling, 0);
  compute_local(polling);
  for (int64_t round = 0; round < num_rounds; ++round) {
    dispatch.finish(round);
    if (round + 1 < num_rounds) dispatch.start(polling, round + 1);
    if (dispatch.num_results() > 0)
      experts(polling, dispatch.rows(), dispatch.work(), results.results(round, dispatch.num_results()));
    results.finish(polling);
    results.start(polling, round, dispatch);
  }
  results.finish(polling);
}

}  // namespace switchyard
