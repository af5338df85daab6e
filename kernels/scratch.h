// Working memory of the threads: one block a thread, which grows to the largest need and stays.
#pragma once

#include <cstddef>

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

}  // namespace switchyard
