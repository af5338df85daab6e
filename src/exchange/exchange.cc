#include "exchange/exchange.h"

#include "exchange/flat_exchange.h"
#include "exchange/local_exchange.h"
#include "exchange/measuring_exchange.h"

namespace switchyard {

std::vector<int64_t> ExchangeCounters::total_per_expert() const {
  std::vector<int64_t> total(tokens_per_expert.size() / times.size());
  for (size_t i = 0; i < tokens_per_expert.size(); ++i) total[i % total.size()] += tokens_per_expert[i];
  return total;
}

ExchangeTimes sum_of(std::span<const ExchangeTimes> times) {
  ExchangeTimes total;
  for (const ExchangeTimes& layer : times) {
    total.useful += layer.useful;
    total.wait += layer.wait;
    total.transfer += layer.transfer;
  }
  return total;
}

Exchange::Exchange(const ExchangeShape& shape, int num_local) : shape_(shape), num_local_(num_local) {
  const int num_experts = shape.placement.num_experts();
  SWITCHYARD_CHECK(shape.dim >= 1 && shape.top_k >= 1 && shape.top_k <= num_experts, "rows of {}, {} of {} experts",
                   shape.dim, shape.top_k, num_experts);
  SWITCHYARD_CHECK(shape.num_layers >= 1, "an exchange for {} layers", shape.num_layers);
  counters_.bytes_to.resize(static_cast<size_t>(shape.placement.num_ranks()));
  counters_.tokens_per_expert.resize(static_cast<size_t>(shape.num_layers) * static_cast<size_t>(num_experts));
  counters_.times.resize(static_cast<size_t>(shape.num_layers));
}

void Exchange::check_routing(ConstView expert_of, int layer) const {
  SWITCHYARD_CHECK(expert_of.shape == Shape({expert_of.rows(), shape_.top_k}), "expert_of: {}, expected [tokens, {}]",
                   expert_of.shape.str(), shape_.top_k);
  SWITCHYARD_CHECK(layer >= 0 && layer < shape_.num_layers, "layer {} of {}", layer, shape_.num_layers);
}

void Exchange::check_flight(ConstView expert_of, ConstView x, View y) const {
  const int64_t tokens = expert_of.rows();
  SWITCHYARD_CHECK(x.shape == Shape({tokens, shape_.dim}) && x.dtype == shape_.dtype, "x: {} {}, expected {} [{}, {}]",
                   name_of(x.dtype), x.shape.str(), name_of(shape_.dtype), tokens, shape_.dim);
  SWITCHYARD_CHECK(y.shape == Shape({tokens * shape_.top_k, shape_.dim}) && y.dtype == shape_.dtype,
                   "y: {} {}, expected {} [{}, {}]", name_of(y.dtype), y.shape.str(), name_of(shape_.dtype),
                   tokens * shape_.top_k, shape_.dim);
}

std::unique_ptr<Exchange> Exchange::measuring() const {
  return measuring_exchange(shape_, num_local_);
}

void Exchange::run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, int layer,
                   const Experts& experts, View y) {
  const ArenaScope scope(arena);
  const auto routing = route(stream, arena, expert_of, layer);
  const auto flight = routing->flight(stream, arena, x, experts, y);
  flight->begin();
  flight->finish();
}

ExchangeScratch exchange_scratch(const ExchangeShape& shape, int num_local, int64_t max_tokens) {
  return shape.placement.num_ranks() == 1 ? LocalExchange::scratch(shape, max_tokens)
                                          : FlatExchange::scratch(shape, num_local, max_tokens);
}

std::unique_ptr<Exchange> make_exchange(Communicator& group, const ExchangeShape& shape) {
  SWITCHYARD_CHECK(shape.placement.num_ranks() == group.size(), "experts placed on {} ranks, a group of {}",
                   shape.placement.num_ranks(), group.size());
  if (group.size() == 1) return std::make_unique<LocalExchange>(shape);
  return std::make_unique<FlatExchange>(group, shape);
}

std::unique_ptr<Exchange> measuring_exchange(const ExchangeShape& shape, int num_local) {
  if (shape.placement.num_ranks() == 1) return std::make_unique<LocalExchange>(shape);
  return std::make_unique<MeasuringExchange>(shape, num_local);
}

}  // namespace switchyard
