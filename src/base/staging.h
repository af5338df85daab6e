// Internal to code over the CUDA runtime: the way of host values to a device. From memory that is not pinned a copy may
// wait for all work that its stream was given before.
#pragma once

#include <deque>

#include "base/cuda_event.h"
#include "base/memory.h"
#include "base/stream.h"

namespace switchyard {

/// A ring of pinned memory, one for each thread, shared by its streams.
class Staging {
 public:
  static constexpr size_t kBytes = size_t{8} << 20;  ///< at first; more when more is asked for at once

  static Staging& of_this_thread();
  Staging() = default;
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// `bytes` to be written, which no copy reads any more.
  std::byte* next(size_t bytes);
  /// What next() gave is copied, in the stream's order.
  void send(const Stream& stream, void* to);

 private:
  struct Part {
    size_t first, bytes;
    CudaEvent copied;
  };

  void wait_for_oldest();
  void forget_what_is_done();

  Memory ring_;
  std::deque<Part> sent_;         // what copies may still read, oldest first
  size_t first_ = 0, bytes_ = 0;  // of what next() gave
};

}  // namespace switchyard
