#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/routing/router.h"
#include "reference/bounded.h"
#include "reference/softmax.h"

namespace switchyard::reference {

/// One token's chosen experts, and what its loss is made of.
struct RouterLoss {
  RouterRule rule;  ///< softmax
  std::vector<int32_t> expert;
  std::vector<double> d_weight;       ///< [k]
  std::vector<double> d_probability;  ///< [experts]

  /// Σ_j d_weight[j] · weight[j] + Σ_e d_probability[e] · p[e]
  double operator()(const std::vector<double>& logits) const {
    const std::vector<double> p = softmax(logits);
    double chosen = 0, weighted = 0, balance = 0;
    for (size_t j = 0; j < expert.size(); ++j) {
      chosen += p[static_cast<size_t>(expert[j])];
      weighted += d_weight[j] * p[static_cast<size_t>(expert[j])];
    }
    for (size_t e = 0; e < p.size(); ++e) balance += d_probability[e] * p[e];
    return rule.scale * weighted / (rule.renormalise ? chosen : 1) + balance;
  }
};

/// p_i (g_i − Σ p g) of a softmax p of these logits, each of whose probabilities is off by some epsilons.
inline std::vector<Bounded> softmax_gradient(const std::vector<double>& logits, const std::vector<double>& g) {
  const std::vector<double> p = softmax(logits);
  double mean = 0, magnitude = 0;
  for (size_t i = 0; i < p.size(); ++i) mean += p[i] * g[i], magnitude += p[i] * std::abs(g[i]);
  const double epsilon = 2 * static_cast<double>(p.size() + 40) * kEpsilon;
  std::vector<Bounded> result;
  for (size_t i = 0; i < p.size(); ++i)
    result.push_back({p[i] * (g[i] - mean), epsilon * p[i] * (std::abs(g[i]) + magnitude)});
  return result;
}

/// The loss's gradient by the logits. Without renormalisation the weights are probabilities like the others.
inline std::vector<Bounded> router_backward(const RouterLoss& loss, const std::vector<double>& logits) {
  std::vector<double> dp = loss.d_probability, chosen, d_chosen;
  for (size_t j = 0; j < loss.expert.size(); ++j) {
    chosen.push_back(logits[static_cast<size_t>(loss.expert[j])]);
    d_chosen.push_back(loss.rule.scale * loss.d_weight[j]);
    if (!loss.rule.renormalise) dp[static_cast<size_t>(loss.expert[j])] += d_chosen[j];
  }
  std::vector<Bounded> result = softmax_gradient(logits, dp);
  if (!loss.rule.renormalise) return result;
  const std::vector<Bounded> of_chosen = softmax_gradient(chosen, d_chosen);
  for (size_t j = 0; j < of_chosen.size(); ++j) {
    Bounded& sum = result[static_cast<size_t>(loss.expert[j])];
    sum = {sum.value + of_chosen[j].value, sum.bound + of_chosen[j].bound};
    sum.bound += kEpsilon * (std::abs(sum.value) + sum.bound);
  }
  return result;
}

}  // namespace switchyard::reference
