#pragma once

#include "kernels/op.h"
#include "kernels/packed_matrix.h"

namespace switchyard {

enum class GemmOutput : uint8_t { store, add };

/// y = x Wᵀ, or y += x Wᵀ (the product is completed first, then added).   A row's bits depend on that row alone.
/// x: [rows, k], dtype the operand of w; w: [n, k]; y: [rows, n] f32
using GemmFn = void(const Stream&, ConstView x, const PackedMatrix& w, GemmOutput output, View y);
namespace cpu {
GemmFn gemm;
}
namespace cuda {
GemmFn gemm;
}
inline constexpr Op<GemmFn> gemm{"gemm", cpu::gemm, nullptr};

}  // namespace switchyard
