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

// The best expert after `last` in the order (logit descending, index ascending): so k calls give k distinct experts.
int32_t next_best(const float* logits, int64_t experts, int32_t last) {
  int32_t best = -1;
  for (int32_t e = 0; e < experts; ++e) {
    const float value = rank_of(logits[e]);
    if (last >= 0) {
      const float bound = rank_of(logits[last]);
      if (value > bound || (value == bound && e <= last)) continue;
    }
    if (best < 0 || value > rank_of(logits[best])) best = e;
  }
  return best;
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
      for (int64_t j = 0; j < k; ++j) e[j] = next_best(row, experts, j == 0 ? -1 : e[j - 1]);
      float chosen_sum = 0;
      for (int64_t j = 0; j < k; ++j) chosen_sum += w[j] = exp_f32(row[e[j]] - row[e[0]]);
      F32x8 lanes = broadcast(0);
      const F32x8 top = broadcast(row[e[0]]);
      int64_t i = 0;
      for (; i + kLanes <= experts; i += kLanes) lanes += exp(load(row + i) - top);
      if (i < experts) lanes += exp(load_part(row + i, experts - i, -kInfinity) - top);
      const float sum = renormalise ? chosen_sum : sum_of_lanes(lanes);
      for (int64_t j = 0; j < k; ++j) w[j] /= sum;
    }
  });
}

}  // namespace switchyard::cpu
