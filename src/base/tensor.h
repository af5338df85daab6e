// Views never own memory; the arena does. All views are row-major and contiguous.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "base/memory.h"

namespace switchyard {

/// Up to four extents.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t elements() const;
  bool operator==(const Shape&) const = default;
  std::string str() const;  ///< "[3, 64]"

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};

struct ConstView {
  const void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;

  int64_t rows() const { return shape.rank() == 0 ? 0 : shape[0]; }
  int64_t elements() const { return shape.elements(); }
  int64_t row_elements() const;  ///< product of all extents but the first
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }
  template <class T>
  const T* as() const {
    SWITCHYARD_CHECK(dtype == DTypeOf<T>::value, "view of {} read as {}", name_of(dtype), name_of(DTypeOf<T>::value));
    return static_cast<const T*>(data);
  }
  template <class T>
  std::span<const T> span() const {
    return {as<T>(), static_cast<size_t>(elements())};
  }
  ConstView slice(int64_t first, int64_t count) const;  ///< rows [first, first + count)
  ConstView reshaped(Shape other) const;
};

struct View {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;

  operator ConstView() const { return {data, shape, dtype, device}; }
  int64_t rows() const { return shape.rank() == 0 ? 0 : shape[0]; }
  int64_t elements() const { return shape.elements(); }
  int64_t row_elements() const { return ConstView(*this).row_elements(); }
  size_t bytes() const { return ConstView(*this).bytes(); }
  template <class T>
  T* as() const {
    return const_cast<T*>(ConstView(*this).as<T>());
  }
  template <class T>
  std::span<T> span() const {
    return {as<T>(), static_cast<size_t>(elements())};
  }
  View slice(int64_t first, int64_t count) const;
  View reshaped(Shape other) const;
};

/// A view of a host container's elements, shape [size].
template <class T>
ConstView view_of(std::span<const T> values) {
  return {values.data(), {static_cast<int64_t>(values.size())}, DTypeOf<T>::value, Device::cpu};
}
template <class T>
ConstView view_of(const std::vector<T>& values) {
  return view_of(std::span<const T>(values));
}

/// Bytes to allocate for a tensor, a multiple of the alignment. On a CUDA device a matrix has room for whole blocks of
/// kRowBucket rows: products run on buckets of rows, and what they read and write beyond the last row is ignored.
size_t allocation_bytes(const Shape& shape, DType dtype, Device device);
inline constexpr int64_t kRowBucket = 128;

/// A stack of scratch memory of fixed capacity, reserved at once and touched only as used. Allocation is a pointer
/// bump, 64-byte aligned; release() returns to a mark. Exceeding the capacity is an internal error: what an arena must
/// hold is measured beforehand, by the same code with an arena that has no memory and no bound.
class Arena {
 public:
  explicit Arena(size_t capacity, Device device = Device::cpu);
  /// A part of another arena, for as long as that keeps it.
  Arena(Arena& whole, size_t capacity);
  /// Its tensors have no memory; high_water() is what they would have taken.
  static Arena measuring(Device device);
  Device device() const { return device_; }
  View alloc(const Shape& shape, DType dtype);
  size_t mark() const { return used_; }
  void release(size_t mark) { used_ = mark; }
  size_t capacity() const { return capacity_; }
  size_t high_water() const { return high_water_; }

 private:
  Arena(Device device, std::byte* data, size_t capacity) : device_(device), data_(data), capacity_(capacity) {}

  Device device_;
  Memory memory_;    ///< none of a part's own
  std::byte* data_;  ///< null: measures
  size_t capacity_;
  size_t used_ = 0, high_water_ = 0;
};

/// A tensor that owns its memory.
class OwnedTensor {
 public:
  OwnedTensor() = default;
  OwnedTensor(const Shape& shape, DType dtype, Device device = Device::cpu)
      : memory_(allocation_bytes(shape, dtype, device), device), view_{memory_.data(), shape, dtype, device} {}
  /// One without memory.
  static OwnedTensor of_shape(const Shape& shape, DType dtype, Device device) {
    OwnedTensor tensor;
    tensor.view_ = {nullptr, shape, dtype, device};
    return tensor;
  }
  View view() { return view_; }
  ConstView view() const { return view_; }

 private:
  Memory memory_;
  View view_;
};

/// Releases an arena to where it was.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_;
};

}  // namespace switchyard
