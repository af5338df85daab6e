// Working memory of the threads: one block a thread, which grows to the largest need and stays.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace switchyard {

/// This thread's block, at least `bytes`, 64-byte aligned, of undefined content. Valid until the thread's next call: a
/// task asks once and divides the block by a ScratchLayout.
std::byte* thread_scratch(size_t bytes);

/// Offsets of consecutive 64-byte aligned pieces.
class ScratchLayout {
 public:
  size_t add(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

/// The largest shapes that a model gives to its kernels.
struct KernelShapes {
  DType operand = DType::f32;
  int64_t dim = 0;      ///< of the residual stream
  int64_t ffn_dim = 0;  ///< of an expert, shared expert or dense MLP, whichever is the largest
  int64_t vocab = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

/// Bytes that thread_scratch() grows to, per thread, when a model of these shapes runs (after the instruction set is
/// pinned).
size_t thread_scratch_bytes(const KernelShapes& shapes);

}  // namespace switchyard
