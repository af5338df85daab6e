#pragma once

#include "kernels/op.h"

namespace switchyard {

/// y[r, to … to + count) = x[r / (m / n), first … first + count): a row of x for several of y, as heads share one. The
/// other columns of y stay.   x: [n, xdim] f32; y: [m, ydim] f32, m a multiple of n
using CopyColumnsFn = void(const Stream&, ConstView x, int64_t first, int64_t count, View y, int64_t to);
namespace cpu {
CopyColumnsFn copy_columns;
}
namespace cuda {
extern CudaOp<CopyColumnsFn> copy_columns;
}
inline constexpr Op<CopyColumnsFn> copy_columns{"copy_columns", cpu::copy_columns, &cuda::copy_columns};

/// Its gradient: dx[r, first … first + count) = Σ dy[j, to … to + count) over the rows j that took row r, in order. The
/// other columns of dx stay.   Arguments as above, dy like y, dx like x
using CopyColumnsBackwardFn = void(const Stream&, ConstView dy, int64_t to, int64_t count, View dx, int64_t first);
namespace cpu {
CopyColumnsBackwardFn copy_columns_backward;
}
inline constexpr Op<CopyColumnsBackwardFn> copy_columns_backward{"copy_columns_backward", cpu::copy_columns_backward,
                                                                 nullptr};

// For the implementations: how many rows of y take the same row of x.
int64_t rows_that_share(ConstView x, int64_t first, int64_t count, ConstView y, int64_t to);

}  // namespace switchyard
