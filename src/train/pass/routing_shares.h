// How a pass's records were routed: what expert-specialised fine-tuning (Wang et al. 2024) chooses experts by.
#pragma once

#include <span>
#include <vector>

namespace switchyard {

struct StepPass;
struct LayerTape;

/// Of each expert in each layer, [layers, E]: Σ over records of the mean over a record's tokens of the weight by which
/// its result was multiplied, and of its share among the token's choices. In f64, in the order of slices; zeros of
/// dense layers.
struct RoutingShares {
  std::vector<double> gates, choices;

  void add(const RoutingShares& other);
};

/// Of the whole step, a slice a record. Collective over the world.
RoutingShares routing_shares(const StepPass& pass, std::span<const LayerTape> layers);

}  // namespace switchyard
