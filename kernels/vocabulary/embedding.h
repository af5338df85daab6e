#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[t,:] = table[ids[t],:].   ids: [tokens] i32, each in [0, vocab) (a device does not check it); table: [vocab, dim]
/// f32|bf16; y: [tokens, dim] f32
using EmbeddingFn = void(const Stream&, ConstView ids, ConstView table, View y);
namespace cpu {
EmbeddingFn embedding;
}
namespace cuda {
EmbeddingFn embedding;
}
inline constexpr Op<EmbeddingFn> embedding{"embedding", cpu::embedding, SWITCHYARD_CUDA_IMPL(cuda::embedding)};

}  // namespace switchyard
