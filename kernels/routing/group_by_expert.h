#pragma once

#include "kernels/op.h"

namespace switchyard {

/// Sorts a batch's (token, slot) assignments by expert, stably: those of expert e are entries
/// [offsets[e], offsets[e+1]), in ascending token · k + slot.   (the lists that GroupedRows points to)
/// expert_of: [tokens, k] i32, each in [0, experts) (a device does not check it), tokens · k < 2^31;
/// offsets: [experts + 1] i64; input_row: [tokens · k] i32, the token; output_row: [tokens · k] i32, token · k + slot;
/// total: [experts] i64, to which the counts are added
using GroupByExpertFn = void(const Stream&, ConstView expert_of, View offsets, View input_row, View output_row,
                             View total);
namespace cpu {
GroupByExpertFn group_by_expert;
}
namespace cuda {
extern CudaOp<GroupByExpertFn> group_by_expert;  ///< at most 1024 experts
WorkingBytes<GroupByExpertFn> group_by_expert_bytes;
}  // namespace cuda
inline constexpr Op<GroupByExpertFn> group_by_expert{"group_by_expert", cpu::group_by_expert, &cuda::group_by_expert,
                                                     nullptr, cuda::group_by_expert_bytes};

// For the implementations.
void check_group_by_expert(ConstView expert_of, ConstView offsets, ConstView input_row, ConstView output_row,
                           ConstView total);

}  // namespace switchyard
