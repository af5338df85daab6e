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
  RouterRule rule;
  std::vector<int32_t> expert;
  std::vector<double> d_weight;       ///< [k]
  std::vector<double> d_probability;  ///< [experts]

  /// Σ_j d_weight[j] · weight[j] + Σ_e d_probability[e] · p[e]
  double operator()(const std::vector<double>& logits) const {
    if (rule.scores == RouterScores::sigmoid) return of_sigmoids(logits);
    const std::vector<double> p = softmax(logits);
    double chosen = 0, weighted = 0, balance = 0;
    for (size_t j = 0; j < expert.size(); ++j) {
      chosen += p[static_cast<size_t>(expert[j])];
      weighted += d_weight[j] * p[static_cast<size_t>(expert[j])];
    }
    for (size_t e = 0; e < p.size(); ++e) balance += d_probability[e] * p[e];
    return rule.scale * weighted / (rule.renormalise ? chosen : 1) + balance;
  }
  double of_sigmoids(const std::vector<double>& logits) const {
    double chosen = 1e-20, weighted = 0, balance = 0, all = 0;
    const auto score = [&](size_t e) { return 1 / (1 + std::exp(-logits[e])); };
    for (size_t j = 0; j < expert.size(); ++j) {
      chosen += score(static_cast<size_t>(expert[j]));
      weighted += d_weight[j] * score(static_cast<size_t>(expert[j]));
    }
    for (size_t e = 0; e < logits.size(); ++e) {
      balance += d_probability[e] * score(e);
      all += score(e);
    }
    return rule.scale * weighted / (rule.renormalise ? chosen : 1) + balance / all;
  }
};

/// By the logits, of sigmoids; of each term some epsilons, for as many as are summed.
inline std::vector<Bounded> sigmoid_gradient(const RouterLoss& loss, const std::vector<double>& logits) {
  std::vector<double> s;
  double all = 0, mean = 0, magnitude = 0, chosen = 1e-20, gained = 0, gained_magnitude = 0;
  for (const double z : logits) s.push_back(1 / (1 + std::exp(-z)));
  for (size_t e = 0; e < s.size(); ++e) {
    all += s[e];
    mean += s[e] * loss.d_probability[e];
    magnitude += s[e] * std::abs(loss.d_probability[e]);
  }
  for (const int32_t e : loss.expert) chosen += s[static_cast<size_t>(e)];
  std::vector<double> ds, terms;
  for (size_t e = 0; e < s.size(); ++e) {
    ds.push_back((loss.d_probability[e] - mean / all) / all);
    terms.push_back((std::abs(loss.d_probability[e]) + magnitude / all) / all);
  }
  const double factor = loss.rule.scale / (loss.rule.renormalise ? chosen : 1);
  for (size_t j = 0; j < loss.expert.size() && loss.rule.renormalise; ++j) {
    const double share = s[static_cast<size_t>(loss.expert[j])] / chosen;
    gained += share * loss.d_weight[j];
    gained_magnitude += share * std::abs(loss.d_weight[j]);
  }
  for (size_t j = 0; j < loss.expert.size(); ++j) {
    ds[static_cast<size_t>(loss.expert[j])] += factor * (loss.d_weight[j] - gained);
    terms[static_cast<size_t>(loss.expert[j])] += factor * (std::abs(loss.d_weight[j]) + gained_magnitude);
  }
  const double epsilon = 2 * static_cast<double>(s.size() + 40) * kEpsilon;
  std::vector<Bounded> result;
  for (size_t e = 0; e < s.size(); ++e) {
    const double slope = s[e] * (1 - s[e]);
    result.push_back({ds[e] * slope, epsilon * terms[e] * slope});
  }
  return result;
}

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
  if (loss.rule.scores == RouterScores::sigmoid) return sigmoid_gradient(loss, logits);
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
