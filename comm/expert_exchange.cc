#include "comm/expert_exchange.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "comm/exchange_round.h"
#include "comm/route_plan.h"
#include "kernels/group_by_expert.h"

namespace switchyard {
namespace {

RoundLayout layout_of(const ExchangeShape& shape, int64_t rows_per_pair, int num_buffers) {
  return {.num_ranks = shape.placement.num_ranks(),
          .dim = shape.dim,
          .top_k = shape.top_k,
          .results_per_row = std::min(shape.top_k, shape.placement.count(0)),  // no rank hosts more experts than rank 0
          .dtype = shape.dtype,
          .device = shape.device,
          .rows_per_pair = rows_per_pair,
          .num_buffers = num_buffers};
}

/// What run_alone() puts into the arena.
size_t group_lists_bytes(int64_t num_experts, int64_t num_entries, Device device) {
  return allocation_bytes({num_experts + 1}, DType::i64, device) +
         2 * allocation_bytes({num_entries}, DType::i32, device);
}

/// The most rows of a round whose buffers fit in `budget`; `one_row` has the buffers of a single row. At least one.
int64_t rows_within(int64_t budget, const RoundLayout& one_row) {
  if (one_row.num_ranks == 1) return 1;
  constexpr int64_t kMaxRow = std::numeric_limits<int32_t>::max();  // rows are numbered in 32 bits
  int64_t rows = 0;
  RoundLayout layout = one_row;
  const auto fits = [&](int64_t n) {
    layout.rows_per_pair = n;
    return layout.num_results() <= kMaxRow && static_cast<int64_t>(layout.buffer_bytes()) <= budget;
  };
  for (int64_t step = int64_t{1} << 30; step > 0; step /= 2)
    if (fits(rows + step)) rows += step;
  return std::max<int64_t>(rows, 1);
}

}  // namespace

ExpertExchange::ExpertExchange(Communicator& group, ExpertPlacement placement, int64_t dim, int top_k, DType dtype,
                               int64_t exchange_bytes, Device device)
    : group_(group), shape_{placement, dim, top_k, dtype, device, exchange_bytes} {
  SWITCHYARD_CHECK(placement.num_ranks() == group.size(), "experts placed on {} ranks, a group of {}",
                   placement.num_ranks(), group.size());
  SWITCHYARD_CHECK(dim >= 1 && top_k >= 1 && top_k <= placement.num_experts(), "rows of {}, {} of {} experts", dim,
                   top_k, placement.num_experts());
  rows_per_round_ = rows_within(exchange_bytes, layout_of(shape_, 1, 2));
  counters_.bytes_to.resize(static_cast<size_t>(group.size()));
  counters_.tokens_per_expert.resize(static_cast<size_t>(placement.num_experts()));
}

int64_t ExpertExchange::least_exchange_bytes() const {
  return static_cast<int64_t>(layout_of(shape_, 1, 2).buffer_bytes());
}

ExchangeScratch exchange_scratch(const ExchangeShape& shape, int rank, int64_t max_tokens) {
  if (shape.placement.num_ranks() == 1)
    return {group_lists_bytes(shape.placement.num_experts(), max_tokens * shape.top_k, shape.device), 0};
  const int64_t rows_per_round = rows_within(shape.exchange_bytes, layout_of(shape, 1, 2));
  const RoundLayout rounds =
      layout_of(shape, std::min(rows_per_round, max_tokens), max_tokens > rows_per_round ? 2 : 1);
  const auto num_ranks = static_cast<size_t>(shape.placement.num_ranks());
  const int num_local = shape.placement.count(rank);
  const size_t counts = (num_ranks + 1) * num_ranks * sizeof(int32_t);
  const size_t plan = route_plan_bytes(max_tokens, shape.top_k, shape.placement, rank);
  const size_t expert_of =
      shape.device == Device::cpu ? 0 : static_cast<size_t>(max_tokens * shape.top_k) * sizeof(int32_t);
  const size_t local =
      OwnedGroupedRows::device_bytes(num_local, max_tokens * std::min(shape.top_k, num_local), shape.device);
  return {local + rounds.buffer_bytes() + rounds.list_bytes(num_local),
          expert_of + plan + counts + rounds.host_bytes(num_local)};
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

View ExpertExchange::total_per_expert() {
  const Shape shape{shape_.placement.num_experts()};
  if (shape_.device == Device::cpu) return {counters_.tokens_per_expert.data(), shape, DType::i64, Device::cpu};
  return device_counts_.view();
}

void ExpertExchange::fetch_counters(const Stream& stream) {
  if (device_counts_.view().data == nullptr) return;
  const HostCopy counts(stream, device_counts_.view());
  std::ranges::copy(counts.view().span<int64_t>(), counters_.tokens_per_expert.begin());
}

/// All experts are here: no plan, no exchange, and on a device no waiting for it.
void ExpertExchange::run_alone(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of,
                               const Experts& experts, View y) {
  const ArenaScope scope(arena);
  const int64_t num_entries = expert_of.elements();
  if (num_entries == 0) return;
  if (shape_.device != Device::cpu && device_counts_.view().data == nullptr) {
    device_counts_ = OwnedTensor({shape_.placement.num_experts()}, DType::i64, shape_.device);
    copy(stream, view_of(std::span<const int64_t>(counters_.tokens_per_expert)), device_counts_.view());
  }
  const View offsets = arena.alloc({shape_.placement.num_experts() + 1}, DType::i64);
  const View input_row = arena.alloc({num_entries}, DType::i32), output_row = arena.alloc({num_entries}, DType::i32);
  group_by_expert(stream, expert_of, offsets, input_row, output_row, total_per_expert());
  const auto list = [](const View& view) {
    return std::span(static_cast<const int32_t*>(view.data), static_cast<size_t>(view.rows()));
  };
  const std::span<const int64_t> ends(static_cast<const int64_t*>(offsets.data), static_cast<size_t>(offsets.rows()));
  experts(stream, x, {ends, list(input_row), list(output_row)}, y);
}

void ExpertExchange::run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, const Experts& experts,
                         View y) {
  check_shapes(x, expert_of, y);
  ++counters_.calls;
  if (group_.size() == 1) return run_alone(stream, arena, x, expert_of, experts, y);

  const ArenaScope scope(arena);
  const HostCopy chosen(stream, expert_of);
  ExchangeCall call{group_,
                    shape_.placement,
                    counters_,
                    x,
                    chosen.view(),
                    y,
                    plan_routes(chosen.view(), shape_.placement, group_.rank()),
                    {}};
  for (size_t e = 0; e < call.plan.tokens_per_expert.size(); ++e)
    counters_.tokens_per_expert[e] += call.plan.tokens_per_expert[e];
  const GroupedRows local = call.plan.local.for_ops(stream, arena);
  const auto compute_local = [&](const Stream& s) {
    if (!local.input_row.empty()) experts(s, x, local, y);
  };

  call.row_counts = exchange_counts(call.plan);
  const int64_t most_rows = std::ranges::max(call.row_counts);
  const int64_t num_rounds = (most_rows + rows_per_round_ - 1) / rows_per_round_;
  counters_.rounds += num_rounds;
  if (num_rounds == 0) return compute_local(stream);

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
    if (dispatch.num_results() > 0) {
      const ArenaScope lists(arena);
      experts(polling, dispatch.rows(), dispatch.work().for_ops(polling, arena),
              results.results(round, dispatch.num_results()));
    }
    results.finish(polling);
    results.start(polling, round, dispatch);
  }
  results.finish(polling);
}

}  // namespace switchyard
