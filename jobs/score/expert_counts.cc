#include "jobs/score/expert_counts.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "base/error.h"

namespace switchyard {
namespace {

void check_same_shape(const ExpertCounts& a, const ExpertCounts& b) {
  SWITCHYARD_CHECK(a.layers == b.layers && a.experts == b.experts, "counts of {} × {} experts and of {} × {}", a.layers,
                   a.experts, b.layers, b.experts);
}

}  // namespace

ExpertCounts ExpertCounts::zeros(int64_t layers, int64_t experts) {
  return {layers, experts, std::vector<int64_t>(static_cast<size_t>(layers * experts))};
}

void ExpertCounts::add(const ExpertCounts& other) {
  check_same_shape(*this, other);
  std::ranges::transform(tokens, other.tokens, tokens.begin(), std::plus());
}

void ExpertCounts::subtract(const ExpertCounts& other) {
  check_same_shape(*this, other);
  std::ranges::transform(tokens, other.tokens, tokens.begin(), std::minus());
}

int64_t ExpertCounts::of_layer(int64_t layer) const {
  const auto first = tokens.begin() + layer * experts;
  return std::accumulate(first, first + experts, int64_t{0});
}

}  // namespace switchyard
