#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "kernels/routing/router.h"
#include "reference/bounded.h"
#include "reference/softmax.h"

namespace switchyard::reference {

struct Routed {
  std::vector<int32_t> expert;
  std::vector<Bounded> weight;
};

/// The indices of `values`, largest value first, equal ones in order.
inline std::vector<int32_t> sorted(const std::vector<double>& values) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](int32_t i) { return values[static_cast<size_t>(i)]; });
  return order;
}

/// One token's k experts and their weights, by sorting. bias: empty: none. The bound grows with how many exponentials
/// are summed.
inline Routed route(const std::vector<double>& logits, const std::vector<double>& bias, const RouterRule& rule,
                    int64_t k) {
  const bool sigmoid = rule.scores == RouterScores::sigmoid;
  const size_t experts = logits.size(), size = experts / static_cast<size_t>(rule.num_groups);
  std::vector<double> score = softmax(logits), key = logits, group;
  for (size_t e = 0; e < experts; ++e) {
    if (sigmoid) score[e] = 1 / (1 + std::exp(-logits[e]));
    if (!bias.empty()) key[e] = score[e] + bias[e];
  }
  for (size_t first = 0; first < experts; first += size) {
    std::vector<double> keys(key.begin() + static_cast<int64_t>(first),
                             key.begin() + static_cast<int64_t>(first + size));
    std::ranges::sort(keys, std::greater<>());
    group.push_back(size == 1 ? keys[0] : keys[0] + keys[1]);
  }
  std::vector<bool> kept(group.size());
  const std::vector<int32_t> groups = sorted(group);
  for (size_t j = 0; j < static_cast<size_t>(rule.kept_groups); ++j) kept[static_cast<size_t>(groups[j])] = true;

  Routed result;
  std::vector<double> chosen;
  for (const int32_t e : sorted(key))
    if (kept[static_cast<size_t>(e) / size] && std::ssize(chosen) < k) {
      result.expert.push_back(e);
      chosen.push_back(sigmoid ? score[static_cast<size_t>(e)] : logits[static_cast<size_t>(e)]);
    }
  if (!sigmoid) {
    const double log_sum = log_sum_exp(rule.renormalise ? chosen : logits);
    for (double& c : chosen) c = std::exp(c - log_sum);
  } else if (rule.renormalise) {
    const double sum = std::accumulate(chosen.begin(), chosen.end(), 1e-20);
    for (double& c : chosen) c /= sum;
  }
  const double terms = static_cast<double>(sigmoid ? k : std::ssize(logits)) + 32;
  for (const double c : chosen) {
    const double weight = c * rule.scale;
    result.weight.push_back({weight, weight * terms * kEpsilon});
  }
  return result;
}

}  // namespace switchyard::reference
