#include "train/pass/routing_shares.h"

#include <algorithm>
#include <utility>

#include "train/pass/layer_pass.h"

namespace switchyard {
namespace {

void add_to(std::vector<double>& sums, const std::vector<double>& more) {
  sums.resize(more.size());
  for (size_t i = 0; i < more.size(); ++i) sums[i] += more[i];
}

/// Adds what a slice's tokens were given to the sums of its layer.   gates, choices: [E]
void add_slice(const ChosenExperts& chosen, int64_t first, int64_t end, double* gates, double* choices) {
  const int64_t k = chosen.expert.row_elements();
  const double share = 1 / static_cast<double>(end - first);
  for (int64_t i = first * k; i < end * k; ++i) {
    const auto expert = static_cast<size_t>(chosen.expert.as<int32_t>()[i]);
    gates[expert] += share * static_cast<double>(chosen.weight.as<float>()[i]);
    choices[expert] += share / static_cast<double>(k);
  }
}

}  // namespace

void RoutingShares::add(const RoutingShares& other) {
  add_to(gates, other.gates);
  add_to(choices, other.choices);
}

RoutingShares routing_shares(const StepPass& pass, std::span<const LayerTape> layers) {
  const StepBatch& batch = pass.batch;
  const auto experts = static_cast<size_t>(pass.config().num_experts());
  const auto slices = static_cast<size_t>(pass.model.ranks().num_slices());
  RoutingShares shares{std::vector<double>(layers.size() * experts), std::vector<double>(layers.size() * experts)};
  if (pass.stream.measured != nullptr) return shares;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    if (layers[layer].chosen.expert.data == nullptr) continue;
    std::vector<double> parts(slices * 2 * experts);  // of other ranks' slices 0
    for (int64_t s = batch.slices.first; s < batch.slices.end; ++s) {
      const auto i = static_cast<size_t>(s - batch.slices.first);
      double* of_slice = parts.data() + static_cast<size_t>(s) * 2 * experts;
      if (batch.slice_tokens[i] < batch.slice_tokens[i + 1])
        add_slice(layers[layer].chosen, batch.slice_tokens[i], batch.slice_tokens[i + 1], of_slice, of_slice + experts);
    }
    const std::vector<double> sums = pass.model.ranks().sum_over_slices(std::move(parts), 2 * experts);
    const std::span of_gates = std::span(sums).first(experts), of_choices = std::span(sums).last(experts);
    std::ranges::copy(of_gates, shares.gates.begin() + static_cast<int64_t>(layer * experts));
    std::ranges::copy(of_choices, shares.choices.begin() + static_cast<int64_t>(layer * experts));
  }
  return shares;
}

}  // namespace switchyard
