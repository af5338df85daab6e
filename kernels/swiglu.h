#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[r,i] = silu(h[r,i]) · h[r, f + i], silu(x) = x / (1 + e^(−x)).   (Shazeer 2020)   h: [rows, 2f] f32: gate, then
/// up; y: [rows, f] f32|bf16
using SwigluFn = void(const Stream&, ConstView h, View y);
namespace cpu {
SwigluFn swiglu;
}
namespace cuda {
SwigluFn swiglu;
}
inline constexpr Op<SwigluFn> swiglu{"swiglu", cpu::swiglu, SWITCHYARD_CUDA_IMPL(cuda::swiglu)};

}  // namespace switchyard
