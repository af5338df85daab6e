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

void Staging::forget_what_is_done() {
  while (!sent_.empty() && cudaEventQuery(sent_.front().copied.get()) == cudaSuccess) sent_.pop_front();
  cudaGetLastError();  // that an event has not come is no error of the next call
}

std::byte* Staging::next(size_t bytes) {
  constexpr size_t kAlignment = 64;
  forget_what_is_done();
  size_t first = (first_ + bytes_ + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > ring_.size()) {
    while (!sent_.empty()) wait_for_oldest();
    ring_ = Memory();
    ring_ = Memory::pinned(std::max(bytes, kBytes));
    first = 0;
  }
  // Ahead in the ring lies what was sent on the last round.
  if (first + bytes > ring_.size()) {
    while (!sent_.empty() && sent_.front().first >= first) wait_for_oldest();
    first = 0;
  }
  while (!sent_.empty() && sent_.front().first >= first && sent_.front().first < first + bytes) wait_for_oldest();
  first_ = first;
  bytes_ = bytes;
  return ring_.data() + first_;
}

void Staging::send(const Stream& stream, void* to) {
  use_device(stream.device_index);
  sent_.push_back({first_, bytes_, make_cuda_event()});
  SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(to, ring_.data() + first_, bytes_, cudaMemcpyHostToDevice, stream.cuda));
  SWITCHYARD_CUDA_CALL(cudaEventRecord(sent_.back().copied.get(), stream.cuda));
}

}  // namespace switchyard
