#pragma once

#include "base/stream.h"
#include "kernels/products/gemm.h"
#include "model/weights.h"

namespace switchyard {

/// y = x Wᵀ + b, or y += that.   x: [rows, k], dtype the operand; y: [rows, n] f32
void linear(const Stream& stream, ConstView x, const Linear& w, GemmOutput output, View y);

}  // namespace switchyard
