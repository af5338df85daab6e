#pragma once

#include <string>

#include "kernels/op.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

enum class GemmOutput : uint8_t { store, add };

/// y = x Wᵀ, or y += x Wᵀ (the product is completed first, then added).   A row's bits depend on that row alone.
/// x: [rows, k], dtype the operand of w; w: [n, k]; y: [rows, n] f32
/// On a CUDA device x and y have room for whole buckets of kRowBucket rows: rows of x beyond the last are read, those
/// of y written. The first product of a shape works in the stream's workspace and waits for the stream: it is checked
/// that rows keep their bits.
using GemmFn = void(const Stream&, ConstView x, const PackedMatrix& w, GemmOutput output, View y);
namespace cpu {
GemmFn gemm;
WorkingBytes<GemmFn> gemm_bytes;
}  // namespace cpu
namespace cuda {
extern CudaOp<GemmFn> gemm;
WorkingBytes<GemmFn> gemm_bytes;
std::string cublas_version();  ///< "13.0.2", part of the numerics id; empty in a build without CUDA
/// The algorithm that cuBLASLt would multiply by W [n, k] with on a device, "algorithm 66, tile 20, stages 10,
/// …"; empty where the product is our own, and in a build without CUDA.
std::string dense_algorithm(int device_index, int64_t n, int64_t k, DType operand);
}  // namespace cuda
WorkOf<GemmFn> gemm_work;  ///< size: rows, n, k
inline constexpr Op<GemmFn> gemm{"gemm", cpu::gemm, &cuda::gemm, cpu::gemm_bytes, cuda::gemm_bytes, gemm_work};

}  // namespace switchyard
