#include "exchange/measuring_exchange.h"

#include <utility>

namespace switchyard {

class MeasuringExchange::MeasuringFlight final : public Flight {
 public:
  MeasuringFlight(const ExchangeScratch& scratch, int num_local, const Stream& stream, Arena& arena, ConstView x,
                  Experts experts, View y)
      : scratch_(scratch),
        num_local_(num_local),
        stream_(stream),
        arena_(arena),
        x_(x),
        experts_(std::move(experts)),
        y_(y) {}

  void begin() override {
    arena_.alloc({static_cast<int64_t>(scratch_.arena_bytes)}, DType::u8);
    const auto num_entries = static_cast<size_t>(scratch_.max_entries);
    const std::span<const int32_t> rows(static_cast<const int32_t*>(nullptr), num_entries);
    const std::span<const int64_t> offsets(static_cast<const int64_t*>(nullptr), static_cast<size_t>(num_local_) + 1);
    experts_(stream_, x_, {offsets, rows, rows}, y_);
  }
  void poll() override {}
  void finish() override {}

 private:
  const ExchangeScratch scratch_;
  const int num_local_;
  const Stream stream_;
  Arena& arena_;
  const ConstView x_;
  const Experts experts_;
  const View y_;
};

class MeasuringExchange::MeasuringRouting final : public Routing {
 public:
  MeasuringRouting(const MeasuringExchange& exchange, ConstView expert_of)
      : exchange_(exchange), expert_of_(expert_of) {}

  std::unique_ptr<Flight> flight(const Stream& stream, Arena& arena, ConstView x, Experts experts, View y) override {
    exchange_.check_flight(expert_of_, x, y);
    return std::make_unique<MeasuringFlight>(exchange_.scratch_bytes(expert_of_.rows()), exchange_.num_local_experts(),
                                             stream, arena, x, std::move(experts), y);
  }

 private:
  const MeasuringExchange& exchange_;
  const ConstView expert_of_;
};

std::unique_ptr<Routing> MeasuringExchange::route(const Stream&, Arena&, ConstView expert_of, int layer) {
  check_routing(expert_of, layer);
  return std::make_unique<MeasuringRouting>(*this, expert_of);
}

}  // namespace switchyard
