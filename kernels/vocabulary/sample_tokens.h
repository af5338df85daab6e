#pragma once

#include "kernels/op.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

/// Draws token[r] from softmax(x[r,:] headᵀ): the first one whose probability, added to those of all lower ids, exceeds
/// uniform[r]. Of the vocabulary only the tile that has it is multiplied again. A row's token depends on that row
/// alone.
///   x: [rows, d], dtype the operand of head; head: [vocab, d]
///   sums: what cross_entropy() of the same x and head has left in its scratch
///   uniform: [rows] f64 in [0, 1)
///   token: [rows] i32; logprob: [rows] f32, its log-probability
using SampleTokensFn = void(const Stream&, ConstView x, const PackedMatrix& head, ConstView sums, ConstView uniform,
                            View token, View logprob);
namespace cpu {
SampleTokensFn sample_tokens;
WorkingBytes<SampleTokensFn> sample_tokens_bytes;
}  // namespace cpu
WorkOf<SampleTokensFn> sample_tokens_work;  ///< size: rows, columns of the tile, d
inline constexpr Op<SampleTokensFn> sample_tokens{
    "sample_tokens", cpu::sample_tokens, nullptr, cpu::sample_tokens_bytes, nullptr, sample_tokens_work};

}  // namespace switchyard
