#pragma once

#include "kernels/op.h"
#include "kernels/packed_matrix.h"

namespace switchyard {

/// logprob[r] = log softmax(x[r,:] headᵀ)[target[r]], argmax[r] = the most likely token (ties to the lowest id), in
/// tiles of the vocabulary: no more than a tile of logits exists per thread. The partition of the vocabulary, and so
/// the order of the sum, is fixed. x: [rows, d], dtype the operand of head; head: [vocab, d]; target: [rows] i32;
/// logprob: [rows] f32; argmax: [rows] i32 scratch: cross_entropy_scratch(rows, vocab) f32 elements, for the partial
/// sums
using CrossEntropyFn = void(const Stream&, ConstView x, const PackedMatrix& head, ConstView target, View scratch,
                            View logprob, View argmax);
namespace cpu {
CrossEntropyFn cross_entropy;
}
namespace cuda {
CrossEntropyFn cross_entropy;
}
inline constexpr Op<CrossEntropyFn> cross_entropy{"cross_entropy", cpu::cross_entropy, nullptr};

int64_t cross_entropy_scratch(int64_t rows, int64_t vocab);

}  // namespace switchyard
