#pragma once

#include "kernels/op.h"

namespace switchyard {

/// sums[i] = Σ x², in f64 and a fixed order, over the i-th `chunk` elements; the last ones may be fewer. x: f32; sums:
/// [⌈elements / chunk⌉] f64. Infinite or NaN exactly where an element is, for f32's squares are finite in f64.
using SumOfSquaresFn = void(const Stream&, ConstView x, int64_t chunk, View sums);
namespace cpu {
SumOfSquaresFn sum_of_squares;
}
inline constexpr Op<SumOfSquaresFn> sum_of_squares{"sum_of_squares", cpu::sum_of_squares, nullptr};

}  // namespace switchyard
