#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[r,:] += bias.   bias: [dim] f32; y: [rows, dim] f32
using AddBiasFn = void(const Stream&, ConstView bias, View y);
namespace cpu {
AddBiasFn add_bias;
}
namespace cuda {
extern CudaOp<AddBiasFn> add_bias;
}
inline constexpr Op<AddBiasFn> add_bias{"add_bias", cpu::add_bias, &cuda::add_bias};

}  // namespace switchyard
