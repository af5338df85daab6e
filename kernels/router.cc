#include "kernels/router.h"

#include <cmath>

#include "kernels/row_blocks.h"
#include "kernels/vector_math.h"

namespace switchyard::cpu {
namespace {

// NaN ranks first: a broken logit is chosen and makes its token's output NaN, instead of vanishing.
float rank_of(float logit) {
  return std::isnan(logit) ? kInfinity : logit;
}

// The k best in the order (logit descending, index ascending), kept sorted while one pass looks at all experts.
void select_best(const float* logits, int64_t experts, int64_t k, int32_t* best) {
  int64_t found = 0;
  float least = -kInfinity;  // of the k chosen so far
  for (int32_t e = 0; e < experts; ++e) {
    const float value = rank_of(logits[e]);
    if (found == k && value <= least) continue;
    int64_t at = found < k ? found++ : k - 1;
    for (; at > 0 && value > rank_of(logits[best[at - 1]]); --at) best[at] = best[at - 1];
    best[at] = e;
    least = rank_of(logits[best[found - 1]]);
  }
}

// Σ e^(logit − top): the softmax over all experts, when the chosen ones do not share the weight among themselves.
float sum_of_exp(const float* logits, int64_t experts, float top) {
  F32x8 lanes = broadcast(0);
  int64_t i = 0;
  for (; i + kLanes <= experts; i += kLanes) lanes += exp(load(logits + i) - broadcast(top));
  if (i < experts) lanes += exp(load_part(logits + i, experts - i, -kInfinity) - broadcast(top));
  return sum_of_lanes(lanes);
}

}  // namespace

void router_top_k(const Stream& stream, ConstView logits, bool renormalise, View expert, View weight) {
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), k = expert.row_elements();
  SWITCHYARD_CHECK(k <= experts && expert.rows() == tokens && weight.shape == expert.shape,
                   "router_top_k: logits {}, expert {}, weight {}", logits.shape.str(), expert.shape.str(),
                   weight.shape.str());
  const auto* in = logits.as<float>();
  auto* chosen = expert.as<int32_t>();
  auto* weights = weight.as<float>();
  for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t) {
      const float* row = in + t * experts;
      int32_t* e = chosen + t * k;
      float* w = weights + t * k;
      select_best(row, experts, k, e);
      float sum = 0;
      for (int64_t j = 0; j < k; ++j) sum += w[j] = exp_f32(row[e[j]] - row[e[0]]);
      if (!renormalise) sum = sum_of_exp(row, experts, row[e[0]]);
      for (int64_t j = 0; j < k; ++j) w[j] /= sum;
    }
  });
}

}  // namespace switchyard::cpu
