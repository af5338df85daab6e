#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[r,:] = factor[row[r]] · x[r,:].   x: [rows, …] f32; row: [rows] i32, or empty: r itself; factor: [n] f32;
/// y: the shape of x, f32 (may be x itself) or bf16 (rounded)
/// A row beyond the factors is refused on the CPU; a device does not check it, and reads elsewhere.
using ScaleRowsFn = void(const Stream&, ConstView x, ConstView row, ConstView factor, View y);
namespace cpu {
ScaleRowsFn scale_rows;
}
namespace cuda {
extern CudaOp<ScaleRowsFn> scale_rows;
}
inline constexpr Op<ScaleRowsFn> scale_rows{"scale_rows", cpu::scale_rows, &cuda::scale_rows};

/// The gradient of its factors, each row with its own: d_factor[r] = ⟨x[r,:], dy[r,:]⟩. That of x is
/// scale_rows(dy, …).   x: [rows, …] f32; dy: of its shape, f32 or bf16; d_factor: [rows] f32
using ScaleRowsBackwardFn = void(const Stream&, ConstView x, ConstView dy, View d_factor);
namespace cpu {
ScaleRowsBackwardFn scale_rows_backward;
}
inline constexpr Op<ScaleRowsBackwardFn> scale_rows_backward{"scale_rows_backward", cpu::scale_rows_backward, nullptr};

// For the implementations.
void check_scale_rows(ConstView x, ConstView row, ConstView factor, ConstView y);

}  // namespace switchyard
