#pragma once

#include <span>

#include "base/slice_tree.h"
#include "kernels/op.h"
#include "kernels/products/gemm.h"

namespace switchyard {

/// y[r,:] = x[r,:] · weight / sqrt(mean(x[r,:]²) + eps).   (Zhang & Sennrich 2019)
/// x: [rows, dim] f32; weight: [dim] f32, or empty: ones; y: [rows, dim] f32 (may be x itself) or bf16
using RmsNormFn = void(const Stream&, ConstView x, ConstView weight, float eps, View y);
/// The same twice: y [rows, dim] f32, not x itself, and rounded [rows, dim] bf16 with the bits of y cast.
using RmsNormRoundedFn = void(const Stream&, ConstView x, ConstView weight, float eps, View y, View rounded);
/// Its gradient. With s_r = 1 / sqrt(mean(x[r,:]²) + eps) and g = dy ⊙ weight,
///   dx[r,i] = (or +=) s_r · (g[r,i] − x[r,i] · s_r² · Σ_j g[r,j] x[r,j] / dim)
///   dweight[j][i] = Σ dy[r,i] · x[r,i] · s_r over the rows of the j-th node of tree_nodes(rows.slices), summed by
///                   slices (rows.squared: of each slice the sum's square); 0 where it has none
///   dy, dx: [rows, dim] f32 (dx may be dy itself when it is stored); rows: one group; inverse_rms: [rows] f32, where
///   s is kept while it is needed; dweight: a view [dim] f32 for each node, or none: not wanted.
using RmsNormBackwardFn = void(const Stream&, ConstView x, ConstView weight, float eps, ConstView dy,
                               const SlicedRows& rows, GemmOutput output, View inverse_rms, View dx,
                               std::span<const View> dweight);
namespace cpu {
RmsNormFn rms_norm;
RmsNormRoundedFn rms_norm_rounded;
RmsNormBackwardFn rms_norm_backward;
}  // namespace cpu
namespace cuda {
extern CudaOp<RmsNormFn> rms_norm;
extern CudaOp<RmsNormRoundedFn> rms_norm_rounded;
}  // namespace cuda
inline constexpr Op<RmsNormFn> rms_norm{"rms_norm", cpu::rms_norm, &cuda::rms_norm};
inline constexpr Op<RmsNormRoundedFn> rms_norm_rounded{"rms_norm_rounded", cpu::rms_norm_rounded,
                                                       &cuda::rms_norm_rounded};
inline constexpr Op<RmsNormBackwardFn> rms_norm_backward{"rms_norm_backward", cpu::rms_norm_backward, nullptr};

/// Fails (internal) where the shapes do not go together. rounded: a view without data for rms_norm.
void check_rms_norm(ConstView x, ConstView weight, ConstView y, ConstView rounded);

}  // namespace switchyard
