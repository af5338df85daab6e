#include "base/device.h"

#include <algorithm>
#include <cstring>

#include "base/device_memory.h"

namespace switchyard {
namespace {

// What is worth more than one thread is shared out.
void copy_in_memory(const Stream& stream, const std::byte* from, size_t bytes, std::byte* to) {
  constexpr size_t kPiece = size_t{256} << 10;
  if (bytes <= 2 * kPiece || stream.pool == nullptr) {
    std::memcpy(to, from, bytes);
    return;
  }
  stream.parallel_for(static_cast<int64_t>((bytes + kPiece - 1) / kPiece), [&](int64_t piece, int) {
    const size_t first = static_cast<size_t>(piece) * kPiece;
    std::memcpy(to + first, from + first, std::min(kPiece, bytes - first));
  });
}

}  // namespace

void copy(const Stream& stream, ConstView from, View to) {
  SWITCHYARD_CHECK(from.bytes() == to.bytes(), "{} bytes copied to {}", from.bytes(), to.bytes());
  if (from.bytes() == 0 || stream.measured != nullptr) return;
  if (from.device == Device::cpu && to.device == Device::cpu)
    copy_in_memory(stream, static_cast<const std::byte*>(from.data), from.bytes(), static_cast<std::byte*>(to.data));
  else
    copy_between_devices(stream, from, to);
}

OwnedTensor hold(const Stream& stream, const Shape& shape, DType dtype) {
  if (stream.measured == nullptr) return {shape, dtype, stream.device};
  stream.measured->held += allocation_bytes(shape, dtype, stream.device);
  return OwnedTensor::of_shape(shape, dtype, stream.device);
}

ConstView on_device(const Stream& stream, Arena& arena, ConstView host) {
  if (stream.device == host.device) return host;
  const View there = arena.alloc(host.shape, host.dtype);
  copy(stream, host, there);
  return there;
}

HostCopy::HostCopy(const Stream& stream, ConstView view) : view_(view) {
  if (view.device == Device::cpu) return;
  memory_ = Memory(view.bytes());
  const View here{memory_.data(), view.shape, view.dtype, Device::cpu};
  copy(stream, view, here);
  synchronize(stream);
  view_ = here;
}

}  // namespace switchyard
