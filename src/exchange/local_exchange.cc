#include "exchange/local_exchange.h"

#include <algorithm>
#include <utility>

#include "base/stopwatch.h"
#include "kernels/routing/group_by_expert.h"

namespace switchyard {

/// Experts on the rows where they lie.
class LocalExchange::LocalFlight final : public Flight {
 public:
  LocalFlight(const Stream& stream, const GroupedRows& rows, ConstView x, Experts experts, View y, ExchangeTimes& times)
      : stream_(stream), rows_(rows), x_(x), experts_(std::move(experts)), y_(y), times_(times) {}

  void begin() override {
    if (rows_.input_row.empty()) return;
    const Stopwatch stopwatch(times_.useful);
    experts_(stream_, x_, rows_, y_);
  }
  void poll() override {
    if (stream_.poll) stream_.poll();
  }
  void finish() override {}

 private:
  const Stream stream_;
  const GroupedRows& rows_;
  const ConstView x_;
  const Experts experts_;
  const View y_;
  ExchangeTimes& times_;
};

class LocalExchange::LocalRouting final : public Routing {
 public:
  LocalRouting(LocalExchange& exchange, const Stream& stream, Arena& arena, ConstView expert_of, int layer)
      : exchange_(exchange), expert_of_(expert_of), layer_(layer) {
    exchange.check_routing(expert_of, layer);
    const int64_t num_entries = expert_of.elements();
    if (num_entries == 0) return;
    const View offsets = arena.alloc({exchange.placement().num_experts() + 1}, DType::i64);
    const View input_row = arena.alloc({num_entries}, DType::i32), output_row = arena.alloc({num_entries}, DType::i32);
    group_by_expert(stream, expert_of, offsets, input_row, output_row, exchange.tokens_per_expert(stream, layer));
    const auto list = []<class T>(const View& view, T) {
      return std::span(static_cast<const T*>(view.data), static_cast<size_t>(view.rows()));
    };
    rows_ = {list(offsets, int64_t{}), list(input_row, int32_t{}), list(output_row, int32_t{})};
  }

  std::unique_ptr<Flight> flight(const Stream& stream, Arena&, ConstView x, Experts experts, View y) override {
    exchange_.check_flight(expert_of_, x, y);
    ++exchange_.counters_.calls;
    return std::make_unique<LocalFlight>(stream, rows_, x, std::move(experts), y,
                                         exchange_.counters_.times[static_cast<size_t>(layer_)]);
  }

 private:
  LocalExchange& exchange_;
  const ConstView expert_of_;
  const int layer_;
  GroupedRows rows_;
};

LocalExchange::LocalExchange(const ExchangeShape& shape) : Exchange(shape, shape.placement.num_experts()) {}

ExchangeScratch LocalExchange::scratch(const ExchangeShape& shape, int64_t max_tokens) {
  Measurement measured;
  Arena arena = Arena::measuring(shape.device);
  LocalExchange exchange(shape);
  const View expert_of{nullptr, {max_tokens, shape.top_k}, DType::i32, shape.device};
  exchange.route(Stream::measuring(shape.device, measured), arena, expert_of, 0);
  const size_t grouping = static_cast<size_t>(shape.placement.num_experts()) * sizeof(int64_t);
  return {arena.high_water(), sizeof(LocalRouting) + std::max(grouping, sizeof(LocalFlight)), expert_of.elements()};
}

std::unique_ptr<Routing> LocalExchange::route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) {
  return std::make_unique<LocalRouting>(*this, stream, arena, expert_of, layer);
}

/// Where a layer's (token, slot) assignments are counted: on the stream's device, so that nobody waits.
View LocalExchange::tokens_per_expert(const Stream& stream, int layer) {
  std::vector<int64_t>& here = counters_.tokens_per_expert;
  View counts{here.data(), {std::ssize(here)}, DType::i64, Device::cpu};
  if (shape_.device != Device::cpu) {
    if (device_counts_.view().shape != counts.shape) {
      device_counts_ = hold(stream, counts.shape, DType::i64);
      copy(stream, counts, device_counts_.view());
    }
    counts = device_counts_.view();
  }
  const int64_t num_experts = shape_.placement.num_experts();
  return counts.slice(layer * num_experts, num_experts);
}

void LocalExchange::fetch_counters(const Stream& stream) {
  if (device_counts_.view().data == nullptr) return;
  const HostCopy counts(stream, device_counts_.view());
  std::ranges::copy(counts.view().span<int64_t>(), counters_.tokens_per_expert.begin());
}

}  // namespace switchyard
