#pragma once

#include <span>

#include "kernels/op.h"

namespace switchyard {

/// Which two of n rotated dimensions are the i-th pair: i and i + n/2, as Hugging Face stores most models, or 2i and
/// 2i + 1, as in the paper.
enum class RotaryPairs : uint8_t { halves, adjacent };
constexpr int format_as(RotaryPairs pairs) {
  return static_cast<int>(pairs);
}

/// Rotary position embedding (Su et al. 2021), in place, of the dimensions [first, first + n) of each head: the pair
/// (a, b) becomes (a cos − b sin, b cos + a sin) of its angle. The other dimensions stay.
///   positions: [tokens] i32, each in [0, max_position)
///   cos_sin: [max_position, n] f32, cosines of the n/2 pairs' angles, then their sines
///   x: [tokens, heads, head_dim] f32
using RopeFn = void(const Stream&, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x);
/// Its gradient, in place: dx comes as that of the result and becomes that of x; a pair (a, b) of it becomes
/// (a cos + b sin, b cos − a sin), and what was not turned stays. Arguments as above.
using RopeBackwardFn = void(const Stream&, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first,
                            View dx);
namespace cpu {
RopeFn rope;
RopeBackwardFn rope_backward;
}  // namespace cpu
WorkOf<RopeFn> rope_work;
inline constexpr Op<RopeFn> rope{"rope", cpu::rope, nullptr, nullptr, nullptr, rope_work};  ///< see prepare_heads
inline constexpr Op<RopeBackwardFn> rope_backward{"rope_backward", cpu::rope_backward, nullptr, nullptr,
                                                  nullptr,         rope_work};

/// Fills cos_sin [num_positions, 2 · frequencies] with factor · cos(p · frequency) and factor · sin(p · frequency),
/// computed in double on the host: one table for every device. Waits for the stream.
void fill_rope_table(const Stream&, std::span<const double> frequencies, double factor, View cos_sin);

/// Fails (internal) where the shapes do not go together.
void check_rope(ConstView positions, ConstView cos_sin, int64_t first, ConstView x);

}  // namespace switchyard
