#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[i] = scale · (2 · random_uniform(seed, first_index + i) − 1) + offset, the same bits on every device.
/// A value depends on (seed, index) alone, so any part of a tensor can be made anywhere. y: f32|bf16 (rounded)
using RandomFillFn = void(const Stream&, uint64_t seed, int64_t first_index, float scale, float offset, View y);
namespace cpu {
RandomFillFn random_fill;
}
namespace cuda {
extern CudaOp<RandomFillFn> random_fill;
}
inline constexpr Op<RandomFillFn> random_fill{"random_fill", cpu::random_fill, &cuda::random_fill};

}  // namespace switchyard
