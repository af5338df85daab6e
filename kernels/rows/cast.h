#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y = x, element by element; f32 to bf16 rounds to nearest even, bf16 to f32 is exact. x, y: same shape
using CastFn = void(const Stream&, ConstView x, View y);
namespace cpu {
CastFn cast;
}
namespace cuda {
extern CudaOp<CastFn> cast;
}
inline constexpr Op<CastFn> cast{"cast", cpu::cast, &cuda::cast};

}  // namespace switchyard
