// Owning tensors for tests, filled with numbers that depend on (seed, index) alone.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "base/memory.h"
#include "base/rng.h"
#include "base/stream.h"
#include "base/tensor.h"

namespace switchyard::test {

/// Zero at first.
class Tensor {
 public:
  Tensor(const Shape& shape, DType dtype)
      : memory_(static_cast<size_t>(shape.elements()) * size_of(dtype)),
        view_{memory_.data(), shape, dtype, Device::cpu} {}

  View view() const { return view_; }
  operator View() const { return view_; }
  operator ConstView() const { return view_; }
  int64_t size() const { return view_.elements(); }
  DType dtype() const { return view_.dtype; }
  template <class T>
  T* data() const {
    return view_.as<T>();
  }
  double at(int64_t i) const {
    if (dtype() == DType::bf16) return to_float(data<BFloat16>()[i]);
    return data<float>()[i];
  }
  void set(int64_t i, float value) const {
    if (dtype() == DType::bf16)
      data<BFloat16>()[i] = to_bfloat16(value);
    else
      data<float>()[i] = value;
  }
  const std::byte* row(int64_t r) const { return memory_.data() + static_cast<size_t>(r) * row_bytes(); }
  size_t row_bytes() const { return static_cast<size_t>(view_.row_elements()) * size_of(dtype()); }

 private:
  Memory memory_;
  View view_;
};

/// f32 or bf16, uniform in [-scale, scale).
inline Tensor random_tensor(const Shape& shape, DType dtype, uint64_t seed, float scale = 1) {
  Tensor t(shape, dtype);
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, scale * (2 * random_uniform(seed, static_cast<uint64_t>(i)) - 1));
  return t;
}

/// f32 or bf16, all NaN: what an op leaves as it was shows.
inline Tensor poisoned(const Shape& shape, DType dtype) {
  Tensor t(shape, dtype);
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, NAN);
  return t;
}

inline Tensor i32_tensor(const std::vector<int32_t>& values) {
  Tensor t({static_cast<int64_t>(values.size())}, DType::i32);
  std::copy(values.begin(), values.end(), t.data<int32_t>());
  return t;
}

/// A copy in f32, exactly.
inline Tensor widened(const Tensor& x) {
  Tensor t(x.view().shape, DType::f32);
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, static_cast<float>(x.at(i)));
  return t;
}

/// A stream with its own threads.
struct CpuStream {
  ThreadPool pool;
  Stream stream{Device::cpu, &pool, {}};
  explicit CpuStream(int num_threads = 2) : pool(num_threads) {}
  operator const Stream&() const { return stream; }
};

}  // namespace switchyard::test
