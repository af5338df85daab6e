#pragma once

#include "kernels/op.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

/// logprob[r] = log softmax(x[r,:] headᵀ)[target[r]], argmax[r] = the most likely token (ties to the lowest id), in
/// tiles of the vocabulary: no more than a tile of logits exists per thread, or on a device. The partition of the
/// vocabulary, and so the order of the sum, is fixed.
///   x: [rows, d], dtype the operand of head; head: [vocab, d]
///   target: [rows] i32, below vocab: refused otherwise on the CPU, on a CUDA device the logprob is NaN
///   logprob: [rows] f32; argmax: [rows] i32
///   scratch: cross_entropy_scratch(rows, vocab) f32 elements, for the CPU's partial sums; a CUDA device ignores it
using CrossEntropyFn = void(const Stream&, ConstView x, const PackedMatrix& head, ConstView target, View scratch,
                            View logprob, View argmax);
namespace cpu {
CrossEntropyFn cross_entropy;
WorkingBytes<CrossEntropyFn> cross_entropy_bytes;
}  // namespace cpu
namespace cuda {
CrossEntropyFn cross_entropy;
WorkingBytes<CrossEntropyFn> cross_entropy_bytes;
}  // namespace cuda
inline constexpr Op<CrossEntropyFn> cross_entropy{"cross_entropy", cpu::cross_entropy,
                                                  SWITCHYARD_CUDA_IMPL(cuda::cross_entropy), cpu::cross_entropy_bytes,
                                                  cuda::cross_entropy_bytes};

int64_t cross_entropy_scratch(int64_t rows, int64_t vocab);

}  // namespace switchyard
