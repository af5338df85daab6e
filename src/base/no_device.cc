// device.h in a program without the CUDA half.
#include "base/device.h"
#include "base/device_memory.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_without_cuda() {
  fail(ExitCode::environment, "{}", why_no_devices());
}

}  // namespace

std::string cuda_toolkit() {
  return {};
}
int num_devices() {
  return 0;
}
std::string why_no_devices() {
  return "this build has no CUDA";
}
DeviceInfo device_info(int) {
  fail_without_cuda();
}
std::string device_identity(int) {
  fail_without_cuda();
}
void use_device(int) {
  fail_without_cuda();
}
std::byte* allocate_device_memory(size_t) {
  fail_without_cuda();
}
void free_device_memory(std::byte*, size_t) noexcept {}
std::byte* allocate_pinned_memory(size_t) {
  return nullptr;
}
void free_pinned_memory(std::byte*, size_t) noexcept {}

DeviceStream::DeviceStream(int device_index, size_t) : device_index_(device_index) {
  fail_without_cuda();
}
DeviceStream::~DeviceStream() = default;
Stream DeviceStream::over(const Stream&) const {
  fail_without_cuda();
}

struct HostMirror::Event {};
HostMirror::HostMirror() = default;
HostMirror::~HostMirror() = default;
HostMirror::HostMirror(HostMirror&&) noexcept = default;
HostMirror& HostMirror::operator=(HostMirror&&) noexcept = default;

void HostMirror::start(const Stream&, ConstView view) {
  view_ = view;
}
ConstView HostMirror::view() {
  return view_;
}

void copy_between_devices(const Stream&, ConstView, View) {
  fail_without_cuda();
}

void synchronize(const Stream&) {}

}  // namespace switchyard
