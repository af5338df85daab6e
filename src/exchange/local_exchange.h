// The exchange of a group of one: all experts are here. No plan, no rounds, and on a device nobody waits for it.
#pragma once

#include "exchange/exchange.h"

namespace switchyard {

class LocalExchange final : public Exchange {
 public:
  explicit LocalExchange(const ExchangeShape& shape);
  /// See exchange_scratch(); exact for all.
  static ExchangeScratch scratch(const ExchangeShape& shape, int64_t max_tokens);

  std::unique_ptr<Routing> route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) override;
  int64_t least_exchange_bytes() const override { return 0; }
  void fetch_counters(const Stream& stream) override;

 private:
  class LocalRouting;
  class LocalFlight;
  View tokens_per_expert(const Stream& stream, int layer);

  OwnedTensor device_counts_;  ///< [layers · experts] i64 on a device, as of the first routing
};

}  // namespace switchyard
