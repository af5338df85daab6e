// The one way in which kernels start. Included by .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "base/cuda_call.h"
#include "base/stream.h"

namespace switchyard::cuda {

struct LaunchShape {
  dim3 grid;
  unsigned threads = 0;     ///< of a block
  size_t shared_bytes = 0;  ///< of dynamic shared memory, see SharedLayout
};

/// Runs kernel<<<grid, threads>>>(args …) in the stream's order; nothing for an empty grid.
template <class... P, class... A>
void launch(const Stream& stream, const LaunchShape& shape, void (*kernel)(P...), const A&... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::launch(stream.cuda, shape.grid, shape.threads, shape.shared_bytes,
                   [=] { kernel(static_cast<P>(args)...); });
#else
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shape.shared_bytes > kWithoutAsking)
    SWITCHYARD_CUDA_CALL(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shape.shared_bytes)));
  // clang-format would take the brackets apart.
  // clang-format off
  kernel<<<shape.grid, shape.threads, shape.shared_bytes, stream.cuda>>>(static_cast<P>(args)...);
  // clang-format on
#endif
  SWITCHYARD_CUDA_CALL(cudaGetLastError());
}

/// Blocks of `threads` that cover `count` elements.
inline unsigned blocks_for(int64_t count, int64_t per_block) {
  const int64_t blocks = (count + per_block - 1) / per_block;
  SWITCHYARD_CHECK(blocks <= 0x7fffffff, "a grid of {} blocks", blocks);
  return static_cast<unsigned>(blocks);
}

}  // namespace switchyard::cuda
