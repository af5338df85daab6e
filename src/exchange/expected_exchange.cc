#include "exchange/expected_exchange.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "exchange/flat_exchange.h"
#include "exchange/travel.h"

namespace switchyard {

double chance_of_any(double share, int top_k, int num_experts) {
  const double all = num_experts, there = share * all;
  double none = 1;
  for (int i = 0; i < top_k; ++i) none *= std::max(0.0, all - there - i) / (all - i);
  return 1 - none;
}

class ExpectedExchange::ExpectedFlight final : public Flight {
 public:
  ExpectedFlight(const ExpectedExchange& exchange, int layer, const Stream& stream, ConstView x, Experts experts,
                 View y)
      : exchange_(exchange), layer_(layer), stream_(stream), x_(x), experts_(std::move(experts)), y_(y) {}

  void begin() override { compute(own_tokens(), 1); }
  void poll() override {}

  void finish() override {
    const ExchangeShape& shape = exchange_.shape();
    const int num_ranks = shape.placement.num_ranks(), me = exchange_.rank_;
    double rows_sent = 0, most_rows = 0, others = 0;
    for (int rank = 0; rank < num_ranks; ++rank) {
      if (rank == me) continue;
      const auto theirs = static_cast<double>(exchange_.tokens_[static_cast<size_t>(rank)]);
      const auto chance = [&](int host) {
        return chance_of_any(exchange_.share_of(host, layer_), shape.top_k, shape.placement.num_experts());
      };
      const double there = own_tokens() * chance(rank), here = theirs * chance(me);
      most_rows = std::max({most_rows, there, here});
      others += theirs;
      rows_sent += there + theirs * shape.top_k * exchange_.share_of(me, layer_);  // rows, and others' results
    }
    const double rounds =
        std::max(1.0, std::ceil(most_rows / static_cast<double>(FlatExchange::rows_per_round(shape))));
    compute(others, static_cast<int64_t>(rounds));
    const double row_bytes = static_cast<double>(shape.dim) * static_cast<double>(size_of(shape.dtype));
    stream_.works->push_back({work_of_travel(rows_sent * row_bytes, num_ranks)});
  }

 private:
  double own_tokens() const { return static_cast<double>(exchange_.tokens_[static_cast<size_t>(exchange_.rank_)]); }

  /// What this rank's experts do for so many tokens, in equal parts.
  void compute(double tokens, int64_t parts) const {
    const ExchangeShape& shape = exchange_.shape();
    const double rows = tokens * shape.top_k * exchange_.share_of(exchange_.rank_, layer_);
    const auto of_part = static_cast<size_t>(std::llround(rows / static_cast<double>(parts)));
    if (of_part == 0) return;
    const std::span<const int32_t> list(static_cast<const int32_t*>(nullptr), of_part);
    const std::span<const int64_t> offsets(static_cast<const int64_t*>(nullptr),
                                           static_cast<size_t>(exchange_.num_local_experts()) + 1);
    for (int64_t part = 0; part < parts; ++part) experts_(stream_, x_, {offsets, list, list}, y_);
  }

  const ExpectedExchange& exchange_;
  const int layer_;
  const Stream stream_;
  const ConstView x_;
  const Experts experts_;
  const View y_;
};

class ExpectedExchange::ExpectedRouting final : public Routing {
 public:
  ExpectedRouting(const ExpectedExchange& exchange, int layer) : exchange_(exchange), layer_(layer) {}

  std::unique_ptr<Flight> flight(const Stream& stream, Arena&, ConstView x, Experts experts, View y) override {
    return std::make_unique<ExpectedFlight>(exchange_, layer_, stream, x, std::move(experts), y);
  }

 private:
  const ExpectedExchange& exchange_;
  const int layer_;
};

ExpectedExchange::ExpectedExchange(const ExchangeShape& shape, int rank, std::vector<double> share)
    : Exchange(shape, shape.placement.count(rank)),
      rank_(rank),
      share_(std::move(share)),
      tokens_(static_cast<size_t>(shape.placement.num_ranks())) {}

/// Of a layer's assignments: those to this rank's experts.
double ExpectedExchange::share_of(int rank, int layer) const {
  const ExpertPlacement& placement = shape_.placement;
  if (share_.empty()) return static_cast<double>(placement.count(rank)) / placement.num_experts();
  double share = 0;
  for (const int expert : placement.experts_of(rank))
    share += share_[static_cast<size_t>(layer * placement.num_experts() + expert)];
  return share;
}

std::unique_ptr<Routing> ExpectedExchange::route(const Stream&, Arena&, ConstView expert_of, int layer) {
  check_routing(expert_of, layer);
  return std::make_unique<ExpectedRouting>(*this, layer);
}

}  // namespace switchyard
