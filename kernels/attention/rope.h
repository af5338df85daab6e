#pragma once

#include "kernels/op.h"

namespace switchyard {

/// Rotary position embedding, half-split pairs (i, i + head_dim/2), in place.   (Su et al. 2021; Hugging Face's layout)
/// positions: [tokens] i32, each in [0, max_position) (a device does not check it); cos_sin: [max_position, head_dim]
/// f32, cosines of the head_dim/2 angles, then their sines; x: [tokens, heads, head_dim] f32
using RopeFn = void(const Stream&, ConstView positions, ConstView cos_sin, View x);
/// Fills cos_sin [num_positions, head_dim] for angles p · theta^(−2i/head_dim), computed in double on the host: one
/// table for every device. Waits for the stream.
using FillRopeTableFn = void(const Stream&, double theta, View cos_sin);

namespace cpu {
RopeFn rope;
FillRopeTableFn fill_rope_table;
}  // namespace cpu
namespace cuda {
RopeFn rope;
FillRopeTableFn fill_rope_table;
}  // namespace cuda
inline constexpr Op<RopeFn> rope{"rope", cpu::rope, SWITCHYARD_CUDA_IMPL(cuda::rope)};
inline constexpr Op<FillRopeTableFn> fill_rope_table{"fill_rope_table", cpu::fill_rope_table,
                                                     SWITCHYARD_CUDA_IMPL(cuda::fill_rope_table)};

}  // namespace switchyard
