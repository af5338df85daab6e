#pragma once

#include "kernels/op.h"

namespace switchyard {

/// What one step of AdamW does with every element.
struct AdamwStep {
  float learning_rate = 0, beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float weight_decay = 0;
  float gradient_scale = 1;     ///< of every gradient, first: what clipping leaves of it
  float first_correction = 1;   ///< 1 − β1^t, t the step, counted from 1
  float second_correction = 1;  ///< √(1 − β2^t)
};

/// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), in the order of torch.optim.AdamW:
///   w −= rate · decay · w;  m = β1 m + (1 − β1) g;  v = β2 v + (1 − β2) g²;
///   w −= rate / (1 − β1^t) · m / (√v / √(1 − β2^t) + ε)
/// gradient: f32, or no data: 0 everywhere, and nothing is read; weight, first_moment, second_moment: f32, all with as
/// many elements; broken: [1] i64, to which the number of weights is added that are not finite afterwards
using AdamwFn = void(const Stream&, ConstView gradient, const AdamwStep& step, View weight, View first_moment,
                     View second_moment, View broken);
namespace cpu {
AdamwFn adamw;
}
inline constexpr Op<AdamwFn> adamw{"adamw", cpu::adamw, nullptr};

}  // namespace switchyard
