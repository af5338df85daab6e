// Several ranks' exchange as a stream that lists work sees it: nothing travels, and every expert gets the rows that are
// to be expected of what is known of the routing.
#pragma once

#include <vector>

#include "exchange/exchange.h"

namespace switchyard {

/// Of a rank of a group that may never be.
class ExpectedExchange final : public Exchange {
 public:
  /// share: [layers, experts] of a layer's (token, slot) assignments; empty: all alike.
  ExpectedExchange(const ExchangeShape& shape, int rank, std::vector<double> share);

  /// [ranks] tokens that each has in the flights to come.
  void set_tokens(std::vector<int64_t> tokens) { tokens_ = std::move(tokens); }

  std::unique_ptr<Routing> route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) override;
  int64_t least_exchange_bytes() const override { return 0; }
  void fetch_counters(const Stream&) override {}

 private:
  class ExpectedRouting;
  class ExpectedFlight;

  double share_of(int rank, int layer) const;

  const int rank_;
  const std::vector<double> share_;
  std::vector<int64_t> tokens_;
};

/// Of a token's k experts, distinct ones of E: how likely one is among those that have `share` of all assignments.
double chance_of_any(double share, int top_k, int num_experts);

}  // namespace switchyard
