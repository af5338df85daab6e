// cudaMemcpy and cudaMemset: pointers are what the direction says, and bytes stay inside their allocation.
#include <cstring>
#include <vector>

#include "devices.h"

using namespace switchyard::emulator;

namespace {

enum class Side { pageable, pinned, device, wrong };

Side side_of(const void* p, size_t bytes) {
  if (p == nullptr) return Side::wrong;
  const auto begin = reinterpret_cast<uintptr_t>(p);
  const std::optional<Allocation> first = find_allocation(p);
  if (!first) return Side::pageable;
  if (begin + bytes > first->end) return Side::wrong;
  return first->kind == MemoryKind::device ? Side::device : Side::pinned;
}

bool fits(Side side, bool must_be_device, bool any) {
  return side != Side::wrong && (any || must_be_device == (side == Side::device));
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (num_devices() == 0) return cudaErrorNoDevice;
  if (bytes == 0) return cudaSuccess;
  const Side source = side_of(from, bytes), target = side_of(to, bytes);
  const bool any = kind == cudaMemcpyDefault;
  if (!fits(source, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice, any) ||
      !fits(target, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice, any))
    return cudaErrorInvalidValue;
  if (source == Side::pageable) {  // may be changed once this returns
    const auto* bytes_from = static_cast<const std::byte*>(from);
    enqueue(stream, [to, staged = std::vector<std::byte>(bytes_from, bytes_from + bytes)] {
      std::memcpy(to, staged.data(), staged.size());
    });
  } else {
    enqueue(stream, [=] { std::memmove(to, from, bytes); });
  }
  return target == Side::pageable ? cudaStreamSynchronize(stream) : cudaSuccess;
}

}  // namespace

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return report(copy(to, from, bytes, kind, stream));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return report(copy(to, from, bytes, kind, nullptr));
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  if (num_devices() == 0) return report(cudaErrorNoDevice);
  if (bytes == 0) return cudaSuccess;
  if (const Side side = side_of(p, bytes); side == Side::wrong || side == Side::pageable)
    return report(cudaErrorInvalidValue);
  enqueue(stream, [=] { std::memset(p, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  return cudaMemsetAsync(p, value, bytes, nullptr);
}
