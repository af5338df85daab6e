// Several ranks' exchange as a stream that only measures sees it: nothing travels, and it takes the most that it can.
// What that is depends on every rank's routing, so it is not found by going through the rounds: exchange_scratch()
// knows.
#pragma once

#include "exchange/exchange.h"

namespace switchyard {

class MeasuringExchange final : public Exchange {
 public:
  MeasuringExchange(const ExchangeShape& shape, int num_local) : Exchange(shape, num_local) {}

  std::unique_ptr<Routing> route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) override;
  int64_t least_exchange_bytes() const override { return 0; }
  void fetch_counters(const Stream&) override {}

 private:
  class MeasuringRouting;
  class MeasuringFlight;
};

}  // namespace switchyard
