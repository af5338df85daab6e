#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[r,:] = x[r,:] · weight / sqrt(mean(x[r,:]²) + eps).   (Zhang & Sennrich 2019)
/// x: [rows, dim] f32; weight: [dim] f32, or empty: ones; y: [rows, dim] f32 (may be x itself) or bf16
using RmsNormFn = void(const Stream&, ConstView x, ConstView weight, float eps, View y);
namespace cpu {
RmsNormFn rms_norm;
}
namespace cuda {
RmsNormFn rms_norm;
}
inline constexpr Op<RmsNormFn> rms_norm{"rms_norm", cpu::rms_norm, SWITCHYARD_CUDA_IMPL(cuda::rms_norm)};

}  // namespace switchyard
