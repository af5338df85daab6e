// Internal to kernels/: the softmax over all experts.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace switchyard {

/// e^(logit − top), at most 1: a logit beyond top counts as top.
inline F32x8 exp_below(F32x8 logit, float top) {
  return exp(min(logit, broadcast(top)) - top);
}

/// Σ e^(logit − top). A logit beyond top, or NaN, counts as top.
inline float sum_of_exp(const float* logits, int64_t experts, float top) {
  F32x8 lanes = broadcast(0);
  int64_t i = 0;
  for (; i + kLanes <= experts; i += kLanes) lanes += exp_below(load(logits + i), top);
  if (i < experts) lanes += exp_below(load_part(logits + i, experts - i, -kInfinity), top);
  return sum_of_lanes(lanes);
}

}  // namespace switchyard
