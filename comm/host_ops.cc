#include "comm/host_ops.h"

#include <algorithm>
#include <cstring>

namespace switchyard {
namespace {

template <class T>
T reduced(T a, T b, ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
      return static_cast<T>(a + b);
    case ReduceOp::max:
      return std::max(a, b);
    case ReduceOp::min:
      return std::min(a, b);
  }
  return a;
}

template <class T>
void reduce(std::span<const std::byte* const> parts, ReduceOp op, std::span<T> out) {
  std::memcpy(out.data(), parts[0], out.size_bytes());
  for (const std::byte* part : parts.subspan(1)) {
    const T* values = reinterpret_cast<const T*>(part);
    for (size_t i = 0; i < out.size(); ++i) out[i] = reduced(out[i], values[i], op);
  }
}

}  // namespace

void copy_bytes(ConstView from, View to) {
  SWITCHYARD_CHECK(from.bytes() == to.bytes(), "{} bytes sent, {} expected", from.bytes(), to.bytes());
  if (from.bytes() > 0) std::memcpy(to.data, from.data, from.bytes());
}

void reduce_in_order(std::span<const std::byte* const> parts, ReduceOp op, View out) {
  if (out.elements() == 0) return;
  switch (out.dtype) {
    case DType::f32:
      return reduce(parts, op, out.span<float>());
    case DType::f64:
      return reduce(parts, op, out.span<double>());
    case DType::i32:
      return reduce(parts, op, out.span<int32_t>());
    case DType::i64:
      return reduce(parts, op, out.span<int64_t>());
    default:
      SWITCHYARD_CHECK(false, "all_reduce of {}: expected f32, f64, i32 or i64", name_of(out.dtype));
  }
}

}  // namespace switchyard
