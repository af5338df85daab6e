// The gradient of a product's weights: a sum over rows of outer products, slice by slice and up the tree of slices.
#pragma once

#include <span>

#include "base/slice_tree.h"
#include "kernels/listed_rows.h"
#include "kernels/op.h"
#include "kernels/rows/members.h"

namespace switchyard {

/// out[g · nodes + j] [n, k] = Σ dy[r,:]ᵀ x[r,:] over the rows r of group g in node j of tree_nodes(rows.slices): the
/// gradient of W in y = x Wᵀ. An element's part of a slice is one chain of fused multiply-adds over the slice's rows in
/// order, from +0 on, and + 0 at its end (rows.squared: and its square); the parts are added up the tree. So it depends
/// on its rows' operands and on where slices end, and on nothing else; but where bf16 products run natively, subnormal
/// numbers of bf16 operands and of their sums are zeros. dy: rows of [., n], x: as many of [., k], both f32 or both
/// bf16 (products of these are exact); out: [groups · nodes], f32, each written whole: 0 where a node has no rows. A
/// group whose views are without data is not wanted. wanted: [groups] elements of each group's results, or none: all;
/// what is only among others may stay undefined. Where a group has one node it may be a list of what is wanted alone,
/// in order: [members].
using WeightGradientFn = void(const Stream&, ListedRows dy, ListedRows x, const SlicedRows& rows,
                              std::span<const ElementBits> wanted, std::span<const View> out);
namespace cpu {
WeightGradientFn weight_gradient;
WorkingBytes<WeightGradientFn> weight_gradient_bytes;
}  // namespace cpu
WorkOf<WeightGradientFn> weight_gradient_work;  ///< as if all of it were wanted; size: rows of a group, groups, n, k
inline constexpr Op<WeightGradientFn> weight_gradient{
    "weight_gradient", cpu::weight_gradient, nullptr, cpu::weight_gradient_bytes, nullptr, weight_gradient_work};

}  // namespace switchyard
