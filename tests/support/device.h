// Ops on any device, called with host tensors: what they need is copied there, what they wrote is copied back.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/device.h"
#include "kernels/attention/prepare_heads.h"
#include "kernels/op.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard {

inline void PrintTo(Device device, std::ostream* out) {
  *out << name_of(device);
}

}  // namespace switchyard

namespace switchyard::test {

inline constexpr Device kDevices[] = {Device::cpu, Device::cuda};

/// How the tests of a device and a case are called: "cpu_f32_…".
template <class Case>
std::string name_of_parameters(const testing::TestParamInfo<std::tuple<Device, Case>>& info) {
  return std::string(name_of(std::get<0>(info.param))) + "_" + testing::PrintToString(std::get<1>(info.param));
}

/// Why tests of this device are skipped; empty when they are not.
inline std::string why_skipped(Device device) {
  return device == Device::cpu || num_devices() > 0 ? std::string() : why_no_devices();
}

class TestStream {
 public:
  explicit TestStream(Device device, int num_threads = 2, size_t workspace_bytes = size_t{64} << 20)
      : pool_(num_threads), stream_{Device::cpu, &pool_, {}} {
    if (device == Device::cpu) return;
    device_.emplace(0, workspace_bytes);
    stream_ = device_->over(stream_);
  }
  operator const Stream&() const { return stream_; }
  const Stream& stream() const { return stream_; }

  /// op(stream, args …) with host tensors for arguments.
  template <class... P, class... A>
  void run(const Op<void(const Stream&, P...)>& op, A&&... args) const {
    run_displaced(0, op, std::forward<A>(args)...);
  }
  /// The same with every tensor `displacement` elements beyond an aligned address of the device.
  template <class... P, class... A>
  void run_displaced(int64_t displacement, const Op<void(const Stream&, P...)>& op, A&&... args) const {
    if (stream_.device == Device::cpu) return op(stream_, std::forward<A>(args)...);
    Moved moved(stream_, displacement);
    op(stream_, moved.argument(static_cast<P>(args))...);
    moved.bring_back();
  }

 private:
  /// The arguments of one call on the device. The same host memory is one tensor there, so that in place stays in
  /// place.
  class Moved {
   public:
    Moved(const Stream& stream, int64_t displacement) : stream_(stream), displacement_(displacement) {}

    ConstView argument(ConstView host) { return there(host); }
    View argument(View host) {
      const View device = there(host);
      if (host.data != nullptr) written_.emplace_back(device, host);
      return device;
    }
    HeadSteps argument(HeadSteps steps) {
      for (ConstView* view : {&steps.norm_weight, &steps.cos_sin, &steps.factors})
        if (view->data != nullptr) *view = there(*view);
      return steps;
    }
    GroupedRows argument(const GroupedRows& rows) {
      return {moved_span(rows.offsets), moved_span(rows.input_row), moved_span(rows.output_row)};
    }
    template <class T>
    T&& argument(T&& other) {
      return std::forward<T>(other);
    }

    void bring_back() {
      for (const auto& [device, host] : written_) copy(stream_, device, host);
      synchronize(stream_);
    }

   private:
    View there(ConstView host) {
      if (host.data == nullptr || host.elements() == 0) return {nullptr, host.shape, host.dtype, Device::cuda};
      const auto [entry, is_new] = tensors_.try_emplace(host.data);
      OwnedTensor& tensor = entry->second;
      if (is_new) {
        tensor = OwnedTensor(displacement_ == 0 ? host.shape : Shape{displacement_ + host.elements()}, host.dtype,
                             Device::cuda);
        copy(stream_, host, placed(tensor, host.shape));
      }
      return placed(tensor, host.shape);
    }
    View placed(OwnedTensor& tensor, const Shape& shape) const {
      if (displacement_ == 0) return tensor.view().reshaped(shape);
      return tensor.view().slice(displacement_, shape.elements()).reshaped(shape);
    }
    template <class T>
    std::span<const T> moved_span(std::span<const T> host) {
      if (host.empty()) return {};
      return {static_cast<const T*>(there(view_of(host)).data), host.size()};
    }

    const Stream& stream_;
    int64_t displacement_;
    std::map<const void*, OwnedTensor> tensors_;
    std::vector<std::pair<ConstView, View>> written_;
  };

  ThreadPool pool_;
  std::optional<DeviceStream> device_;
  Stream stream_;
};

}  // namespace switchyard::test
