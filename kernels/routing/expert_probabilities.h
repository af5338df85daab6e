#pragma once

#include "base/slice_tree.h"
#include "kernels/op.h"
#include "kernels/routing/router.h"

namespace switchyard {

/// sums[s,:] = Σ p(logits[t,:]) over the tokens t of slice s: each expert's is one chain of f64 sums in the order of
/// the tokens, of probabilities in f32. p is the softmax, each off by at most (24 + |logit − the token's largest|) ·
/// 2⁻²⁴ of itself; of sigmoid scores σ / Σ σ (DeepSeek-V3, equation 19). logits: [tokens, experts] f32; rows: one
/// group, the tokens; sums: [slices, experts] f64
using ExpertProbabilitiesFn = void(const Stream&, ConstView logits, RouterScores scores, const SlicedRows& rows,
                                   View sums);
namespace cpu {
ExpertProbabilitiesFn expert_probabilities;
WorkingBytes<ExpertProbabilitiesFn> expert_probabilities_bytes;
}  // namespace cpu
inline constexpr Op<ExpertProbabilitiesFn> expert_probabilities{"expert_probabilities", cpu::expert_probabilities,
                                                                nullptr, cpu::expert_probabilities_bytes};

}  // namespace switchyard
