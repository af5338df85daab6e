// A stream of an emulated device, and kernels' launches under several schedules.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/launch.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/expect_error.h"

namespace switchyard::test {

/// A host array on the device.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
    SWITCHYARD_CUDA_CALL(cudaMalloc(&data_, size_ * sizeof(T)));
    SWITCHYARD_CUDA_CALL(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> result(size_);
    SWITCHYARD_CUDA_CALL(cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return result;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

inline int thread() {
  return static_cast<int>(threadIdx.x);
}

/// Blocks and threads in order (0), and in random orders.
class EmulatorTest : public testing::TestWithParam<uint64_t> {
 protected:
  EmulatorTest() : stream_(Device::cuda, 1, 0) { emulator::set_schedule(GetParam()); }
  ~EmulatorTest() override {
    emulator::set_schedule(0);
    emulator::set_race_check(true);
  }

  template <class... P, class... A>
  void launch(const cuda::LaunchShape& shape, void (*kernel)(P...), const A&... args) {
    cuda::launch(stream_, shape, kernel, args...);
  }
  /// A block that fails with an error that names all the parts.
  template <class... P, class... A>
  testing::AssertionResult fails_with(std::initializer_list<std::string_view> parts, unsigned threads,
                                      size_t shared_bytes, void (*kernel)(P...), const A&... args) {
    return fails(ExitCode::internal, parts, [&] { launch({1, threads, shared_bytes}, kernel, args...); });
  }
  TestStream stream_;
};

inline const auto kSchedules = testing::Values(0, 1, 2, 3, 4);

}  // namespace switchyard::test
