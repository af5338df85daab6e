#pragma once

#include "kernels/op.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

/// logprob[r] = log softmax(x[r,:] headᵀ)[target[r]], argmax[r] = the most likely token (ties to the lowest id), in
/// tiles of the vocabulary: no more than a tile of logits exists per thread, and none in a device's memory. The
/// partition of the vocabulary, and so the order of the sum, is fixed.
///   x: [rows, d], dtype the operand of head; head: [vocab, d]
///   target: [rows] i32, below vocab: refused otherwise on the CPU, on a CUDA device the logprob is NaN
///   lse: [rows] f32, log Σ e^logit, what cross_entropy_backward wants; empty: not wanted, as a CUDA device demands
///   logprob: [rows] f32; argmax: [rows] i32
///   scratch: cross_entropy_scratch(rows, vocab) f32 elements, for the CPU's partial sums; a CUDA device ignores it
using CrossEntropyFn = void(const Stream&, ConstView x, const PackedMatrix& head, ConstView target, View scratch,
                            View lse, View logprob, View argmax);
namespace cpu {
CrossEntropyFn cross_entropy;
WorkingBytes<CrossEntropyFn> cross_entropy_bytes;
}  // namespace cpu
namespace cuda {
extern CudaOp<CrossEntropyFn> cross_entropy;
WorkingBytes<CrossEntropyFn> cross_entropy_bytes;
}  // namespace cuda
WorkOf<CrossEntropyFn> cross_entropy_work;  ///< size: rows, vocab, d
inline constexpr Op<CrossEntropyFn> cross_entropy{"cross_entropy",           cpu::cross_entropy,
                                                  &cuda::cross_entropy,      cpu::cross_entropy_bytes,
                                                  cuda::cross_entropy_bytes, cross_entropy_work};

int64_t cross_entropy_scratch(int64_t rows, int64_t vocab);

/// The gradient of −scale · Σ weight[r] · logprob[r] by the logits of some tokens of the vocabulary:
///   d_logits[r,j] = scale · weight[r] · (e^(logit − lse[r]) − [first_id + j = target[r]]),
///   logit = ⟨x[r,:], head[first_id + j,:]⟩,
/// computed again with the forward pass's bits. A row's bits depend on that row alone.
///   x, head, target, lse: as there; weight: [rows] f32, or no data: all 1
///   first_id: a multiple of kPanelColumns (512)
///   d_logits: [rows, ids], dtype the operand, first_id + ids ≤ vocab
using CrossEntropyBackwardFn = void(const Stream&, ConstView x, const PackedMatrix& head, ConstView target,
                                    ConstView lse, ConstView weight, float scale, int64_t first_id, View d_logits);
namespace cpu {
CrossEntropyBackwardFn cross_entropy_backward;
WorkingBytes<CrossEntropyBackwardFn> cross_entropy_backward_bytes;
}  // namespace cpu
WorkOf<CrossEntropyBackwardFn> cross_entropy_backward_work;  ///< size: rows, ids, d
inline constexpr Op<CrossEntropyBackwardFn> cross_entropy_backward{
    "cross_entropy_backward",   cpu::cross_entropy_backward, nullptr, cpu::cross_entropy_backward_bytes, nullptr,
    cross_entropy_backward_work};

// For the implementations.
void check_targets(ConstView target, int64_t vocab);

}  // namespace switchyard
