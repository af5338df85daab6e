#pragma once

#include "kernels/op.h"

namespace switchyard {

/// The penalty of elastic weight consolidation (Kirkpatrick et al. 2017), λ/2 · Σ F (w − a)², and its gradient:
///   gradient = (or +=) λ · F · (w − a);   sums[i] = Σ F (w − a)² in f64 and a fixed order, over the i-th `chunk`
///   elements
/// weight, anchor, importance, gradient: f32, as many elements each; add: to what the gradient is; sums:
/// [⌈elements / chunk⌉] f64
using PullToAnchorFn = void(const Stream&, ConstView weight, ConstView anchor, ConstView importance, float lambda,
                            bool add, int64_t chunk, View gradient, View sums);
namespace cpu {
PullToAnchorFn pull_to_anchor;
}
inline constexpr Op<PullToAnchorFn> pull_to_anchor{"pull_to_anchor", cpu::pull_to_anchor, nullptr};

}  // namespace switchyard
