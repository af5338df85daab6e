// Shared memory of a block. All of it is dynamic and goes through these types, so that the emulator of the tests sees
// every access: on a GPU they are plain pointers.
//
//   host:    SharedLayout layout; layout.add<float>(256);  …  {grid, threads, layout.bytes()}
//   kernel:  SharedMemory shared; const auto sums = shared.take<float>(256);     the same sizes in the same order
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace switchyard::cuda {

inline constexpr size_t kSharedAlignment = 128;  // of every array, 1024 of the first: cp.async and ldmatrix need 16

template <class T>
class SharedArray {
 public:
  __device__ SharedArray(T* data, int size) : data_(data), size_(size) {}
  __device__ int size() const { return size_; }

#if defined(SWITCHYARD_EMULATED_GPU)
  emulator::SharedRef<T> operator[](int i) const {
    emulator::check_range(i, 1, size_);
    return {data_ + i};
  }
  /// A vector of consecutive elements, aligned to its size: load<float4>(i) is elements i … i+3.
  template <class V>
  V load(int i) const {
    emulator::check_range(i, sizeof(V) / sizeof(T), size_);
    return emulator::shared_load<V>(data_ + i);
  }
  template <class V>
  void store(int i, const V& value) const {
    emulator::check_range(i, sizeof(V) / sizeof(T), size_);
    emulator::shared_store<V>(data_ + i, value);
  }
#else
  __device__ T& operator[](int i) const {
    return data_[i];
  }
  template <class V>
  __device__ V load(int i) const {
    return *reinterpret_cast<const V*>(data_ + i);
  }
  template <class V>
  __device__ void store(int i, const V& value) const {
    *reinterpret_cast<V*>(data_ + i) = value;
  }
#endif
  /// For the instructions of tensor_core.h; not to be read or written through.
  __device__ T* address(int i) const {
#if defined(SWITCHYARD_EMULATED_GPU)
    emulator::check_range(i, 1, size_);
#endif
    return data_ + i;
  }
  __device__ SharedArray part(int first, int size) const {
#if defined(SWITCHYARD_EMULATED_GPU)
    emulator::check_range(first, size, size_);
#endif
    return {data_ + first, size};
  }

 private:
  T* data_;
  int size_;
};

/// The block's dynamic shared memory, taken piece by piece.
class SharedMemory {
 public:
#if defined(SWITCHYARD_EMULATED_GPU)
  SharedMemory() : base_(emulator::shared_memory()) {}
#else
  __device__ SharedMemory() {
    extern __shared__ __align__(1024) std::byte switchyard_shared_memory[];
    base_ = switchyard_shared_memory;
  }
#endif
  template <class T>
  __device__ SharedArray<T> take(int count) {
    T* data = reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
    return {data, count};
  }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

/// What SharedMemory::take will need.
class SharedLayout {
 public:
  template <class T>
  SharedLayout& add(int64_t count) {
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
    return *this;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

}  // namespace switchyard::cuda
