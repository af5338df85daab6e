// Devices beside the CPU: which there are, the order of their work, and copies. cuda_device.cc has it all
// over the CUDA runtime; a program without the CUDA half has no devices (no_device.cc).
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/stream.h"

namespace switchyard {

/// The CUDA toolkit that compiled this program's CUDA half, "13.0.88"; "emulated" in tests; empty in a program without.
std::string cuda_toolkit();
/// CUDA devices of this process; 0 without a driver, or in a build without CUDA.
int num_devices();
/// Why num_devices() is 0: "this build has no CUDA", "no CUDA driver …".
std::string why_no_devices();

struct DeviceInfo {
  std::string name;          ///< "NVIDIA H200"
  std::string architecture;  ///< "sm_90"
  std::string runtime;       ///< "13.0", of the CUDA runtime
  int num_multiprocessors = 0;
  size_t free_bytes = 0, total_bytes = 0;
};
DeviceInfo device_info(int index);
/// Its PCI address: what all processes of a host call it, whatever number each gives it. Does not start to use it.
std::string device_identity(int index);

/// Makes `index` the calling thread's device, for allocations.
void use_device(int index);

/// An order of work on a device, with a workspace of its own.
class DeviceStream {
 public:
  explicit DeviceStream(int device_index, size_t workspace_bytes = 0);
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  /// `host` with the device in place of the CPU.
  Stream over(const Stream& host) const;

 private:
  [[maybe_unused]] int device_index_;  // in a build without CUDA
  [[maybe_unused]] CUstream_st* cuda_ = nullptr;
  Memory workspace_;
};

/// to = from, in the stream's order, to and from any device. Host memory that is not pinned may be changed, or read,
/// once this returns; pinned memory only after synchronize(). Copies between host tensors happen at once. Nothing where
/// the stream only measures.
void copy(const Stream& stream, ConstView from, View to);

/// Waits for all work given to the stream; a failure there throws here (environment).
void synchronize(const Stream& stream);

/// A tensor of the stream's device for good; one without memory where the stream only measures.
OwnedTensor hold(const Stream& stream, const Shape& shape, DType dtype);

/// `host` where the stream's ops can read it: itself on the CPU, otherwise a copy in the arena.
ConstView on_device(const Stream& stream, Arena& arena, ConstView host);
/// A tensor of a stream's device on the host, as soon as the stream has made it: nothing but the copy is waited for.
/// Host tensors are passed through. Used again and again, so that pinned memory is allocated once.
class HostMirror {
 public:
  HostMirror();
  ~HostMirror();
  HostMirror(HostMirror&&) noexcept;
  HostMirror& operator=(HostMirror&&) noexcept;

  /// Copies in the stream's order.
  void start(const Stream& stream, ConstView view);
  /// Waits for the copy; valid until the next start().
  ConstView view();

 private:
  struct Event;
  std::unique_ptr<Event> event_;
  Memory memory_;
  ConstView view_;
};

/// `view` where this thread can read it: itself when it is there, otherwise a copy (which waits for the stream).
class HostCopy {
 public:
  HostCopy(const Stream& stream, ConstView view);
  ConstView view() const { return view_; }

 private:
  Memory memory_;
  ConstView view_;
};

}  // namespace switchyard
