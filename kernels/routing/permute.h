#pragma once

#include "kernels/op.h"

namespace switchyard {

// Rows listed beyond the tensor are refused on the CPU; a device does not check them, and reads or writes elsewhere.

/// y[i,:] = x[row[i],:].   x: [n, dim]; row: [m] i32; y: [m, dim], the dtype of x
using GatherRowsFn = void(const Stream&, ConstView x, ConstView row, View y);
/// y[row[i],:] = x[i,:].   x: [m, dim]; row: [m] i32, distinct; y: [n, dim], the dtype of x
using ScatterRowsFn = void(const Stream&, ConstView x, ConstView row, View y);
/// out[t,:] = base[t,:] + Σ_j weight[t,j] · y[t,j,:], summed over j = 0 … k−1 in f32 in that order, then added.
/// y: [tokens, k, dim] f32|bf16; weight: [tokens, k] f32, or empty: ones; base: [tokens, dim] f32, may be out itself,
/// or empty: zeros; out: [tokens, dim] f32
using CombineFn = void(const Stream&, ConstView y, ConstView weight, ConstView base, View out);

namespace cpu {
GatherRowsFn gather_rows;
ScatterRowsFn scatter_rows;
CombineFn combine;
}  // namespace cpu
namespace cuda {
extern CudaOp<GatherRowsFn> gather_rows;
extern CudaOp<ScatterRowsFn> scatter_rows;
extern CudaOp<CombineFn> combine;
}  // namespace cuda

WorkOf<GatherRowsFn> gather_rows_work;
inline constexpr Op<GatherRowsFn> gather_rows{"gather_rows", cpu::gather_rows, &cuda::gather_rows,
                                              nullptr,       nullptr,          gather_rows_work};
inline constexpr Op<ScatterRowsFn> scatter_rows{"scatter_rows", cpu::scatter_rows, &cuda::scatter_rows};
inline constexpr Op<CombineFn> combine{"combine", cpu::combine, &cuda::combine};

// For the implementations.
void check_combine(ConstView y, ConstView weight, ConstView base, ConstView out);

}  // namespace switchyard
