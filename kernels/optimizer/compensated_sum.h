#pragma once

#include "kernels/op.h"

namespace switchyard {

/// Adds x to a sum of two parts, sum + rest: what the addition to `sum` loses is exact in f32 (Knuth's two-sum), and is
/// added to `rest`. So a sum of many small terms is good to about twice f32's digits.
/// x, sum, rest: f32, as many elements each
using CompensatedSumFn = void(const Stream&, ConstView x, View sum, View rest);
namespace cpu {
CompensatedSumFn compensated_sum;
}
inline constexpr Op<CompensatedSumFn> compensated_sum{"compensated_sum", cpu::compensated_sum, nullptr};

}  // namespace switchyard
