#pragma once

#include "kernels/op.h"

namespace switchyard {

/// What an expert's score is made of: softmax over all experts' logits, or σ of its own.
enum class RouterScores : uint8_t { softmax, sigmoid };

/// Which experts a token goes to, and with which weights.
struct RouterRule {
  RouterScores scores = RouterScores::softmax;
  bool renormalise = false;  ///< softmax: over the chosen k alone; sigmoid: weights are divided by their sum + 1e-20
  float scale = 1;           ///< of the weights, last
  /// Experts are num_groups equal groups in order; only those of the kept_groups best are chosen from.
  int32_t num_groups = 1, kept_groups = 1;
};

/// The k experts of each token with the largest keys, in descending order, ties to the lowest index, and their weights.
/// Keys: without a selection_bias the logits; with one, score + bias.   (DeepSeek-V3, "noaux_tc"; Wang et al. 2024)
/// Groups: a group's value is the sum of its two largest keys (its one, where a group is one expert); ties to the
/// lowest index. Experts of other groups are never chosen, not even where a kept group's keys are −∞.
/// A key that is NaN ranks with +∞, and a group that has a key of +∞ with +∞: what is broken is chosen, and shows.
/// Weights: the scores of the chosen without the bias, renormalised or not, times scale.
/// logits: [tokens, experts] f32, with the router's own bias, if it has one; selection_bias: [experts] f32, or empty;
/// expert: [tokens, k] i32, distinct; weight: [tokens, k] f32
using RouterTopKFn = void(const Stream&, ConstView logits, const RouterRule& rule, ConstView selection_bias,
                          View expert, View weight);
namespace cpu {
RouterTopKFn router_top_k;
}
namespace cuda {
extern CudaOp<RouterTopKFn> router_top_k;  ///< at most 4096 experts, but for plain softmax
}
inline constexpr Op<RouterTopKFn> router_top_k{"router_top_k", cpu::router_top_k, &cuda::router_top_k};

/// The gradient of Σ_j d_weight[j] · weight[j] + Σ_e d_probability[e] · p[e] by each token's logits, its experts and so
/// the order of their slots fixed; the weights are router_top_k's, p is expert_probabilities()'.
/// Softmax: with dp the gradient of p, that is d_probability, and, without renormalisation, scale · d_weight at the
/// chosen experts:
///   d_logits[e] = p[e] (dp[e] − Σ_i p[i] dp[i]), and with renormalisation at the chosen experts
///               + weight[j] (d_weight[j] − Σ_i weight[i] d_weight[i] / scale)
/// Sigmoid, s = σ(logits), p = s / Σ s:   d_logits[e] = ds[e] s[e] (1 − s[e]),
///   ds[e] = (d_probability[e] − Σ_i p[i] d_probability[i]) / Σ s, and at the chosen experts
///         + scale · d_weight[j], or with renormalisation scale / (S + 1e-20) · (d_weight[j] − Σ_i weight[i]
///         d_weight[i] / scale), S the sum of the chosen
/// rule: of its groups nothing is asked; scale > 0; d_probability: [experts] f32, or empty: zeros; d_logits: [tokens,
/// experts] f32; the others as in router_top_k, d_weight like weight
using RouterTopKBackwardFn = void(const Stream&, ConstView logits, const RouterRule& rule, ConstView expert,
                                  ConstView weight, ConstView d_weight, ConstView d_probability, View d_logits);
namespace cpu {
RouterTopKBackwardFn router_top_k_backward;
}
inline constexpr Op<RouterTopKBackwardFn> router_top_k_backward{"router_top_k_backward", cpu::router_top_k_backward,
                                                                nullptr};

// For the implementations.
inline constexpr float kRenormaliseEpsilon = 1e-20f;  ///< of sigmoid's sum
void check_router_top_k(ConstView logits, const RouterRule& rule, ConstView selection_bias, ConstView expert,
                        ConstView weight);

}  // namespace switchyard
