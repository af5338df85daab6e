#include "exchange/expert_exchange.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "exchange/exchange_round.h"
#include "exchange/route_plan.h"
#include "kernels/routing/group_by_expert.h"

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
    return {group_lists_bytes(shape.placement.num_experts(), max_tokens * shape.top_k, shape.device),
            static_cast<size_t>(shape.placement.num_experts()) * sizeof(int64_t), max_tokens * shape.top_k};
  const int64_t rows_per_round = rows_within(shape.exchange_bytes, layout_of(shape, 1, 2));
  const RoundLayout rounds =
      layout_of(shape, std::min(rows_per_round, max_tokens), max_tokens > rows_per_round ? 2 : 1);
  const auto num_ranks = static_cast<size_t>(shape.placement.num_ranks());
  const int num_local = shape.placement.count(rank);
  const size_t counts = (num_ranks + 1) * num_ranks * sizeof(int32_t);
  const size_t plan = route_plan_bytes(max_tokens, shape.top_k, shape.placement, rank);
  const size_t expert_of =
      shape.device == Device::cpu ? 0 : static_cast<size_t>(max_tokens * shape.top_k) * sizeof(int32_t);
  const int64_t local_entries = max_tokens * std::min(shape.top_k, num_local);
  const size_t local = OwnedGroupedRows::device_bytes(num_local, local_entries, shape.device);
  return {local + rounds.buffer_bytes() + rounds.list_bytes(num_local),
          expert_of + plan + counts + rounds.host_bytes(num_local), std::max(local_entries, rounds.num_results())};
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

/// Where the (token, slot) assignments of a group of one are counted: on the stream's device, so that nobody waits.
View ExpertExchange::total_per_expert(const Stream& stream) {
  const Shape shape{shape_.placement.num_experts()};
  if (shape_.device == Device::cpu) return {counters_.tokens_per_expert.data(), shape, DType::i64, Device::cpu};
  if (device_counts_.view().data == nullptr) {
    device_counts_ = OwnedTensor(shape, DType::i64, shape_.device);
    copy(stream, view_of(std::span<const int64_t>(counters_.tokens_per_expert)), device_counts_.view());
  }
  return device_counts_.view();
}

void ExpertExchange::fetch_counters(const Stream& stream) {
  if (device_counts_.view().data == nullptr) return;
  const HostCopy counts(stream, device_counts_.view());
  std::ranges::copy(counts.view().span<int64_t>(), counters_.tokens_per_expert.begin());
}

void ExpertExchange::run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, const Experts& experts,
                         View y) {
  Flight flight(*this, stream, arena, x, expert_of, experts, y);
  flight.begin();
  flight.finish();
}

/// What a flight between ranks has on its way.
struct ExpertExchange::Flight::Journey {
  ExchangeCall call;
  Stream stream;  ///< whose ops poll
  int64_t num_rounds = 0;
  std::optional<Dispatch> dispatch;
  std::optional<Return> results;
};

ExpertExchange::Flight::Flight(ExpertExchange& exchange, const Stream& stream, Arena& arena, ConstView x,
                               ConstView expert_of, Experts experts, View y)
    : exchange_(exchange),
      stream_(stream),
      arena_(arena),
      scope_(arena),
      x_(x),
      expert_of_(expert_of),
      experts_(std::move(experts)),
      y_(y),
      chosen_(exchange.chosen_[exchange.num_flights_++ % exchange.chosen_.size()]) {
  exchange_.check_shapes(x_, expert_of_, y_);
  ++exchange_.counters_.calls;
  if (!alone()) chosen_.start(stream_, expert_of_);
}

ExpertExchange::Flight::~Flight() = default;

/// All experts are here: no plan, no exchange, and on a device no waiting for it.
void ExpertExchange::Flight::begin_alone() {
  const int64_t num_entries = expert_of_.elements(), num_experts = exchange_.placement().num_experts();
  if (num_entries == 0) return;
  const View offsets = arena_.alloc({num_experts + 1}, DType::i64);
  const View input_row = arena_.alloc({num_entries}, DType::i32), output_row = arena_.alloc({num_entries}, DType::i32);
  group_by_expert(stream_, expert_of_, offsets, input_row, output_row, exchange_.total_per_expert(stream_));
  const auto list = []<class T>(const View& view, T) {
    return std::span(static_cast<const T*>(view.data), static_cast<size_t>(view.rows()));
  };
  experts_(stream_, x_, {list(offsets, int64_t{}), list(input_row, int32_t{}), list(output_row, int32_t{})}, y_);
}

void ExpertExchange::Flight::begin() {
  if (alone()) return begin_alone();
  ExpertExchange& e = exchange_;
  const ConstView chosen = chosen_.view();
  journey_ = std::make_unique<Journey>();
  Journey& j = *journey_;
  j.call = {&e.group_,
            &e.shape_.placement,
            &e.counters_,
            x_,
            chosen,
            y_,
            plan_routes(chosen, e.shape_.placement, e.group_.rank()),
            {}};
  for (size_t i = 0; i < j.call.plan.tokens_per_expert.size(); ++i)
    e.counters_.tokens_per_expert[i] += j.call.plan.tokens_per_expert[i];
  const GroupedRows local = j.call.plan.local.for_ops(stream_, arena_);

  j.call.row_counts = e.exchange_counts(j.call.plan);
  const int64_t most_rows = std::ranges::max(j.call.row_counts);
  j.num_rounds = (most_rows + e.rows_per_round_ - 1) / e.rows_per_round_;
  e.counters_.rounds += j.num_rounds;
  j.stream = stream_;
  j.stream.poll = [this] { poll(); };
  if (j.num_rounds > 0) {
    const RoundLayout rounds = layout_of(e.shape_, std::min(e.rows_per_round_, most_rows), j.num_rounds > 1 ? 2 : 1);
    j.dispatch.emplace(j.call, rounds, arena_);
    j.results.emplace(j.call, rounds, arena_);
    j.dispatch->start(j.stream, 0);
  }
  if (!local.input_row.empty()) experts_(j.stream, x_, local, y_);
}

void ExpertExchange::Flight::poll() {
  if (journey_ && journey_->num_rounds > 0) {
    journey_->dispatch->poll();
    journey_->results->poll();
  }
  if (stream_.poll) stream_.poll();
}

void ExpertExchange::Flight::finish() {
  if (alone() || journey_->num_rounds == 0) return;
  Journey& j = *journey_;
  for (int64_t round = 0; round < j.num_rounds; ++round) {
    j.dispatch->finish(round);
    if (round + 1 < j.num_rounds) j.dispatch->start(j.stream, round + 1);
    if (j.dispatch->num_results() > 0) {
      const ArenaScope lists(arena_);
      experts_(j.stream, j.dispatch->rows(), j.dispatch->work().for_ops(j.stream, arena_),
               j.results->results(round, j.dispatch->num_results()));
    }
    j.results->finish(j.stream);
    j.results->start(j.stream, round, *j.dispatch);
  }
  j.results->finish(j.stream);
}

}  // namespace switchyard
