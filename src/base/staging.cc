#include "base/staging.h"

#include <algorithm>

#include "base/device.h"

namespace switchyard {

Staging& Staging::of_this_thread() {
  thread_local Staging staging;
  return staging;
}

Staging::~Staging() {
  for (const Part& part : sent_) cudaEventSynchronize(part.copied.get());
}

void Staging::wait_for_oldest() {
  SWITCHYARD_CUDA_CALL(cudaEventSynchronize(sent_.front().copied.get()));
  sent_.pop_front();
}

std::byte* Staging::next(size_t bytes) {
  constexpr size_t kAlignment = 64;
  first_ = (first_ + bytes_ + kAlignment - 1) / kAlignment * kAlignment;
  bytes_ = bytes;
  if (bytes > ring_.size()) {
    while (!sent_.empty()) wait_for_oldest();
    ring_ = Memory();
    ring_ = Memory::pinned(std::max(bytes, kBytes));
    first_ = 0;
  }
  // Ahead in the ring lies what was sent on the last round.
  if (first_ + bytes > ring_.size()) {
    while (!sent_.empty() && sent_.front().first >= first_) wait_for_oldest();
    first_ = 0;
  }
  while (!sent_.empty() && sent_.front().first >= first_ && sent_.front().first < first_ + bytes) wait_for_oldest();
  return ring_.data() + first_;
}

void Staging::send(const Stream& stream, void* to) {
  use_device(stream.device_index);
  SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(to, ring_.data() + first_, bytes_, cudaMemcpyHostToDevice, stream.cuda));
  sent_.push_back({first_, bytes_, make_cuda_event()});
  SWITCHYARD_CUDA_CALL(cudaEventRecord(sent_.back().copied.get(), stream.cuda));
}

}  // namespace switchyard
