#pragma once

#include <span>

#include "base/slice_tree.h"
#include "kernels/op.h"

namespace switchyard {

/// y[t,:] = table[ids[t],:].   ids: [tokens] i32, each in [0, vocab) (a device does not check it); table: [vocab, dim]
/// f32|bf16; y: [tokens, dim] f32
using EmbeddingFn = void(const Stream&, ConstView ids, ConstView table, View y);
namespace cpu {
EmbeddingFn embedding;
}
namespace cuda {
extern CudaOp<EmbeddingFn> embedding;
}
WorkOf<EmbeddingFn> embedding_work;
inline constexpr Op<EmbeddingFn> embedding{"embedding", cpu::embedding, &cuda::embedding,
                                           nullptr,     nullptr,        embedding_work};

/// The gradient by some rows of the table: dtable[node][id − first_id,:] = Σ dy[t,:] over the node's tokens t with that
/// id, for ids [first_id, first_id + dtable[node].rows()); others are skipped. Each slice's tokens are added up in
/// order (rows.squared: and the sum squared), then the slices up the tree; 0 where there are none.
/// ids: [tokens] i32; dy: [tokens, dim] f32; rows: one group, the tokens; dtable: one a node of
/// tree_nodes(rows.slices), [ids of the range, dim] f32
using EmbeddingBackwardFn = void(const Stream&, ConstView ids, ConstView dy, const SlicedRows& rows, int64_t first_id,
                                 std::span<const View> dtable);
namespace cpu {
EmbeddingBackwardFn embedding_backward;
WorkingBytes<EmbeddingBackwardFn> embedding_backward_bytes;
}  // namespace cpu
inline constexpr Op<EmbeddingBackwardFn> embedding_backward{"embedding_backward", cpu::embedding_backward, nullptr,
                                                            cpu::embedding_backward_bytes};

}  // namespace switchyard
