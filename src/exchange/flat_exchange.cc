#include "exchange/flat_exchange.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "exchange/exchange_round.h"
#include "exchange/travel.h"

namespace switchyard {
namespace {

RoundLayout layout_of(const ExchangeShape& shape, int64_t rows_per_pair, int num_buffers) {
  return {.num_ranks = shape.placement.num_ranks(),
          .dim = shape.dim,
          .top_k = shape.top_k,
          .results_per_row = std::min(shape.top_k, shape.placement.max_count()),
          .dtype = shape.dtype,
          .device = shape.device,
          .rows_per_pair = rows_per_pair,
          .num_buffers = num_buffers};
}

}  // namespace

int64_t FlatExchange::rows_per_round(const ExchangeShape& shape) {
  constexpr int64_t kMaxRow = std::numeric_limits<int32_t>::max();  // rows are numbered in 32 bits
  RoundLayout layout = layout_of(shape, 1, 2);
  const int64_t rows = largest_fitting([&](int64_t n) {
    layout.rows_per_pair = n;
    return layout.num_results() <= kMaxRow && static_cast<int64_t>(layout.buffer_bytes()) <= shape.exchange_bytes;
  });
  return std::max<int64_t>(rows, 1);
}

class FlatExchange::FlatRouting final : public Routing {
 public:
  FlatRouting(FlatExchange& exchange, const Stream& stream, ConstView expert_of, int layer)
      : exchange_(exchange), expert_of_(expert_of), layer_(static_cast<size_t>(layer)) {
    exchange.check_routing(expert_of, layer);
    if (!exchange.idle_mirrors_.empty()) {
      chosen_ = std::move(exchange.idle_mirrors_.back());
      exchange.idle_mirrors_.pop_back();
    }
    chosen_.start(stream, expert_of);
  }
  ~FlatRouting() override { exchange_.idle_mirrors_.push_back(std::move(chosen_)); }

  std::unique_ptr<Flight> flight(const Stream& stream, Arena& arena, ConstView x, Experts experts, View y) override;

  /// Known to all ranks as of the first call, which is collective.
  const Routes& routes() {
    if (!routes_) {
      const ConstView chosen = chosen_.view();
      routes_.emplace(exchange_.placement(), exchange_.group_.rank(), chosen);
      const auto counts =
          std::span(exchange_.counters_.tokens_per_expert).subspan(layer_ * routes_->plan.tokens_per_expert.size());
      for (size_t i = 0; i < routes_->plan.tokens_per_expert.size(); ++i)
        counts[i] += routes_->plan.tokens_per_expert[i];
      Meetings& meetings = exchange_.meetings_;
      const std::vector<int32_t> busy = routes_->exchange_counts(exchange_.group_, meetings.arrive());
      meetings.met(busy, times());
      clock_ = meetings.flight();
    }
    return *routes_;
  }
  FlightClock& clock() { return clock_; }
  ExchangeTimes& times() const { return exchange_.counters_.times[layer_]; }
  FlatExchange& exchange() const { return exchange_; }

 private:
  FlatExchange& exchange_;
  const ConstView expert_of_;
  const size_t layer_;
  HostMirror chosen_;
  std::optional<Routes> routes_;
  FlightClock clock_;  // since they are known
};

class FlatExchange::FlatFlight final : public Flight {
 public:
  FlatFlight(FlatRouting& routing, const Stream& stream, Arena& arena, ConstView x, Experts experts, View y)
      : routing_(routing), stream_(stream), arena_(arena), scope_(arena), experts_(std::move(experts)), x_(x), y_(y) {
    polling_ = stream;
    polling_.poll = [this] { poll(); };
    polling_.works = nullptr;
  }

  void begin() override {
    const TravelTime time(*this);
    const Routes& routes = routing_.routes();
    FlatExchange& e = routing_.exchange();
    const GroupedRows local = routes.plan.local.for_ops(stream_, arena_);
    num_rounds_ = (routes.most_rows() + e.rows_per_round_ - 1) / e.rows_per_round_;
    e.counters_.rounds += num_rounds_;
    if (num_rounds_ > 0) {
      const RoundLayout rounds =
          layout_of(e.shape_, std::min(e.rows_per_round_, routes.most_rows()), num_rounds_ > 1 ? 2 : 1);
      const Trip trip{e.group_, routes, x_, y_, e.counters_.bytes_to, routing_.times(), routing_.clock()};
      dispatch_.emplace(trip, rounds, arena_);
      results_.emplace(trip, rounds, arena_);
      dispatch_->start(polling_, 0);
    }
    if (!local.input_row.empty()) compute(x_, local, y_);
  }

  void poll() override {
    if (dispatch_) dispatch_->poll();
    if (results_) results_->poll();
    if (stream_.poll) stream_.poll();
  }

  void finish() override {
    go_rounds();
    if (stream_.works != nullptr)
      stream_.works->push_back(
          {work_of_travel(static_cast<double>(bytes_), routing_.exchange().placement().num_ranks()), seconds_});
  }

 private:
  void go_rounds() {
    if (num_rounds_ == 0) return;
    const TravelTime time(*this);
    for (int64_t round = 0; round < num_rounds_; ++round) {
      dispatch_->finish(round);
      if (round + 1 < num_rounds_) dispatch_->start(polling_, round + 1);
      if (dispatch_->num_results() > 0) {
        const ArenaScope lists(arena_);
        compute(dispatch_->rows(), dispatch_->work().for_ops(polling_, arena_),
                results_->results(round, dispatch_->num_results()));
      }
      results_->finish(polling_);
      results_->start(polling_, round, *dispatch_);
    }
    results_->finish(polling_);
  }

  void compute(ConstView x, const GroupedRows& rows, View y) {
    const Stopwatch stopwatch(routing_.times().useful);
    Stream computing = polling_;
    computing.works = stream_.works;
    experts_(computing, x, rows, y);
  }

  /// Adds what a scope takes beside experts, and beside waiting for other ranks.
  class TravelTime {
   public:
    explicit TravelTime(FlatFlight& flight)
        : flight_(flight), start_(seconds_now() - flight.seconds_elsewhere()), bytes_(flight.bytes_sent()) {}
    ~TravelTime() {
      flight_.seconds_ += std::max(0.0, seconds_now() - flight_.seconds_elsewhere() - start_);
      flight_.bytes_ += flight_.bytes_sent() - bytes_;
    }
    TravelTime(const TravelTime&) = delete;
    TravelTime& operator=(const TravelTime&) = delete;

   private:
    FlatFlight& flight_;
    const double start_;
    const int64_t bytes_;
  };
  double seconds_elsewhere() const { return routing_.times().useful + routing_.times().wait; }
  int64_t bytes_sent() const { return total(routing_.exchange().counters_.bytes_to); }

  FlatRouting& routing_;
  const Stream stream_;
  Stream polling_;  // whose ops poll
  Arena& arena_;
  const ArenaScope scope_;
  const Experts experts_;
  const ConstView x_;
  const View y_;
  int64_t num_rounds_ = 0;
  double seconds_ = 0;  // beside experts and waiting
  int64_t bytes_ = 0;   // sent
  std::optional<Dispatch> dispatch_;
  std::optional<Return> results_;
};

std::unique_ptr<Flight> FlatExchange::FlatRouting::flight(const Stream& stream, Arena& arena, ConstView x,
                                                          Experts experts, View y) {
  exchange_.check_flight(expert_of_, x, y);
  ++exchange_.counters_.calls;
  return std::make_unique<FlatFlight>(*this, stream, arena, x, std::move(experts), y);
}

FlatExchange::FlatExchange(Communicator& group, const ExchangeShape& shape)
    : Exchange(shape, shape.placement.count(group.rank())), group_(group), rows_per_round_(rows_per_round(shape)) {}

ExchangeScratch FlatExchange::scratch(const ExchangeShape& shape, int num_local, int64_t max_tokens) {
  const int64_t most = rows_per_round(shape);
  const RoundLayout rounds = layout_of(shape, std::min(most, max_tokens), max_tokens > most ? 2 : 1);
  const auto num_ranks = static_cast<size_t>(shape.placement.num_ranks());
  const size_t counts = 2 * (num_ranks + 1) * (num_ranks + 1) * sizeof(int32_t);  // those that travel as well
  const size_t plan = route_plan_bytes(max_tokens, shape.top_k, shape.placement, num_local);
  const size_t expert_of =
      shape.device == Device::cpu ? 0 : static_cast<size_t>(max_tokens * shape.top_k) * sizeof(int32_t);
  const int64_t local_entries = max_tokens * std::min(shape.top_k, num_local);
  const size_t local = OwnedGroupedRows::device_bytes(num_local, local_entries, shape.device);
  return {local + rounds.buffer_bytes() + rounds.list_bytes(num_local),
          sizeof(FlatRouting) + sizeof(FlatFlight) + expert_of + plan + counts + rounds.host_bytes(num_local),
          std::max(local_entries, rounds.num_results())};
}

std::unique_ptr<Routing> FlatExchange::route(const Stream& stream, Arena&, ConstView expert_of, int layer) {
  return std::make_unique<FlatRouting>(*this, stream, expert_of, layer);
}

int64_t FlatExchange::least_exchange_bytes() const {
  return static_cast<int64_t>(layout_of(shape_, 1, 2).buffer_bytes());
}

}  // namespace switchyard
