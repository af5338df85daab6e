#include <algorithm>
#include <span>
#include <vector>

#include "kernels/routing/cpu/softmax.h"
#include "kernels/routing/router.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {
namespace {

/// One token's chosen experts.
struct Slots {
  int64_t k;
  const int32_t* expert;
  const float *weight, *d_weight;
};

// d_logits = p (dp − Σ p dp), p the softmax of the logits.
void all_experts(const float* logits, const float* dp, int64_t experts, float* d_logits) {
  const float top = max_of(logits, experts), sum = sum_of_exp(logits, experts, top);
  F32x8 lanes = broadcast(0);
  for_lanes(experts, [&](int64_t i, auto read, auto write) {
    const F32x8 p = exp(read(logits + i) - top) / sum;
    lanes = fma(p, read(dp + i), lanes);
    write(d_logits + i, p);
  });
  const float mean = sum_of_lanes(lanes);
  for_lanes(experts,
            [&](int64_t i, auto read, auto write) { write(d_logits + i, read(d_logits + i) * (read(dp + i) - mean)); });
}

// The same of a softmax over the chosen experts alone, whose probabilities are weight / scale, added.
void chosen_experts(const Slots& slots, float scale, float* d_logits) {
  float mean = 0;
  for (int64_t j = 0; j < slots.k; ++j) mean += slots.weight[j] / scale * slots.d_weight[j];
  for (int64_t j = 0; j < slots.k; ++j) d_logits[slots.expert[j]] += slots.weight[j] * (slots.d_weight[j] - mean);
}

/// One token's σ, and their slopes.
class Sigmoids {
 public:
  explicit Sigmoids(int64_t experts) : scores_(static_cast<size_t>(experts)), slopes_(scores_.size()) {}

  void set(const float* logits) {
    for_lanes(std::ssize(scores_), [&](int64_t i, auto read, auto write) {
      write(scores_.data() + i, sigmoid(read(logits + i)));
      write(slopes_.data() + i, sigmoid_slope(read(logits + i)));
    });
    F32x8 lanes = broadcast(0);
    for_lanes(std::ssize(scores_), [&](int64_t i, auto read, auto) { lanes += read(scores_.data() + i); });
    sum_ = sum_of_lanes(lanes);
  }

  /// balance: [experts] d_probability
  void differentiate(const RouterRule& rule, const Slots& slots, const std::vector<float>& balance, float* d_logits) {
    const auto experts = std::ssize(scores_);
    const float mean = dot(scores_.data(), balance.data(), experts) / sum_;
    for_lanes(experts,
              [&](int64_t i, auto read, auto write) { write(d_logits + i, (read(balance.data() + i) - mean) / sum_); });
    const auto score = [&](int64_t j) { return scores_[static_cast<size_t>(slots.expert[j])]; };
    float factor = rule.scale, gained = 0;
    if (rule.renormalise) {
      float chosen = 0;
      for (int64_t j = 0; j < slots.k; ++j) {
        chosen += score(j);
        gained += slots.weight[j] / rule.scale * slots.d_weight[j];
      }
      factor = rule.scale / (chosen + kRenormaliseEpsilon);
    }
    for (int64_t j = 0; j < slots.k; ++j) d_logits[slots.expert[j]] += factor * (slots.d_weight[j] - gained);
    for_lanes(experts, [&](int64_t i, auto read, auto write) {
      write(d_logits + i, read(d_logits + i) * read(slopes_.data() + i));
    });
  }

 private:
  std::vector<float> scores_, slopes_;
  float sum_ = 0;
};

}  // namespace

void router_top_k_backward(const Stream& stream, ConstView logits, const RouterRule& rule, ConstView expert,
                           ConstView weight, ConstView d_weight, ConstView d_probability, View d_logits) {
  const int64_t experts = logits.row_elements(), k = expert.row_elements();
  SWITCHYARD_CHECK(rule.scale > 0, "router_top_k_backward: scale {}", rule.scale);
  check_router_top_k(logits, rule, {}, expert, weight);
  SWITCHYARD_CHECK(d_weight.shape == weight.shape && d_logits.shape == logits.shape &&
                       (d_probability.data == nullptr || d_probability.elements() == experts),
                   "router_top_k_backward: logits {}, weight {}, d_weight {}, d_probability {}, d_logits {}",
                   logits.shape.str(), weight.shape.str(), d_weight.shape.str(), d_probability.shape.str(),
                   d_logits.shape.str());
  const auto *in = logits.as<float>(), *weights = weight.as<float>(), *d_weights = d_weight.as<float>();
  const auto* chosen = expert.as<int32_t>();
  auto* out = d_logits.as<float>();
  std::vector<float> balance(static_cast<size_t>(experts));
  if (d_probability.data != nullptr) std::copy_n(d_probability.as<float>(), experts, balance.begin());
  for_row_blocks(stream, logits.rows(), [&](int64_t first, int64_t count) {
    std::vector<float> dp(balance.size());
    Sigmoids sigmoids(experts);
    for (int64_t t = first; t < first + count; ++t) {
      const Slots slots{k, chosen + t * k, weights + t * k, d_weights + t * k};
      for (const int32_t e : std::span(slots.expert, static_cast<size_t>(k)))
        SWITCHYARD_CHECK(e >= 0 && e < experts, "router_top_k_backward: token {} has expert {} of {}", t, e, experts);
      if (rule.scores == RouterScores::sigmoid) {
        sigmoids.set(in + t * experts);
        sigmoids.differentiate(rule, slots, balance, out + t * experts);
        continue;
      }
      std::ranges::copy(balance, dp.begin());
      for (int64_t j = 0; !rule.renormalise && j < k; ++j)
        dp[static_cast<size_t>(slots.expert[j])] += rule.scale * slots.d_weight[j];
      all_experts(in + t * experts, dp.data(), experts, out + t * experts);
      if (rule.renormalise) chosen_experts(slots, rule.scale, out + t * experts);
    }
  });
}

}  // namespace switchyard::cpu
