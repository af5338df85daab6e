#pragma once

#include "kernels/op.h"

namespace switchyard {

/// The k largest logits of each token, by value, ties to the lowest index, in descending order; their weights are
/// softmax over all experts (`renormalise` false) or over the chosen k (true).
/// logits: [tokens, experts] f32; expert: [tokens, k] i32; weight: [tokens, k] f32
using RouterTopKFn = void(const Stream&, ConstView logits, bool renormalise, View expert, View weight);
namespace cpu {
RouterTopKFn router_top_k;
}
namespace cuda {
RouterTopKFn router_top_k;
}
inline constexpr Op<RouterTopKFn> router_top_k{"router_top_k", cpu::router_top_k,
                                               SWITCHYARD_CUDA_IMPL(cuda::router_top_k)};

}  // namespace switchyard
