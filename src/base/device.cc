#include "base/device.h"

namespace switchyard {

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
