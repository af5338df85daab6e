// The exchange in which every rank sends to every other one.
//
// A token's row goes to each destination rank once, however many of its experts live there. Rounds bound the memory:
// all buffers of a flight together take at most `exchange_bytes`. What is local is computed while the first round
// travels, each round while the next one does (exchange/exchange_round.h).
#pragma once

#include "exchange/exchange.h"
#include "exchange/travel.h"

namespace switchyard {

class FlatExchange final : public Exchange {
 public:
  FlatExchange(Communicator& group, const ExchangeShape& shape);
  /// See exchange_scratch().
  static ExchangeScratch scratch(const ExchangeShape& shape, int num_local, int64_t max_tokens);
  /// The most, between two ranks, whose buffers fit in the budget. At least one.
  static int64_t rows_per_round(const ExchangeShape& shape);

  std::unique_ptr<Routing> route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) override;
  int64_t least_exchange_bytes() const override;
  void fetch_counters(const Stream&) override {}
  double busy_since_meeting() const override { return meetings_.busy(); }
  ExchangeTimes waited_since(double was_busy, double of_last) override {
    return meetings_.waited_since(was_busy, of_last);
  }

 private:
  class FlatRouting;
  class FlatFlight;

  Communicator& group_;
  const int64_t rows_per_round_;          ///< that each pair of ranks may exchange under the budget, at least one
  Meetings meetings_;                     ///< in which counts are exchanged
  std::vector<HostMirror> idle_mirrors_;  ///< of routings that are no more: pinned memory is kept
};

}  // namespace switchyard
