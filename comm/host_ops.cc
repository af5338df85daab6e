#include "comm/host_ops.h"

#include <algorithm>
#include <cstring>
#include <numeric>

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

void check_on_host(ConstView view) {
  SWITCHYARD_CHECK(view.device == Device::cpu, "{} {} of a device's memory, where host memory is taken",
                   name_of(view.dtype), view.shape.str());
}

AllToAllRows all_to_all_rows(int size, ConstView send, std::span<const int64_t> send_rows, ConstView recv,
                             std::span<const int64_t> recv_rows) {
  SWITCHYARD_CHECK(std::ssize(send_rows) == size && std::ssize(recv_rows) == size, "{} and {} row counts for {} ranks",
                   send_rows.size(), recv_rows.size(), size);
  const auto row_bytes = send.row_elements() * static_cast<int64_t>(size_of(send.dtype));
  SWITCHYARD_CHECK(row_bytes == recv.row_elements() * static_cast<int64_t>(size_of(recv.dtype)),
                   "rows {} {} sent, {} {} expected", name_of(send.dtype), send.shape.str(), name_of(recv.dtype),
                   recv.shape.str());
  const auto offsets_of = [](std::span<const int64_t> counts) {
    std::vector<int64_t> offsets(counts.size() + 1);
    std::partial_sum(counts.begin(), counts.end(), offsets.begin() + 1);
    return offsets;
  };
  AllToAllRows rows{row_bytes, offsets_of(send_rows), offsets_of(recv_rows)};
  SWITCHYARD_CHECK(rows.from.back() <= send.rows() && rows.to.back() <= recv.rows(),
                   "{} of {} rows to send, {} of {} to receive", rows.from.back(), send.rows(), rows.to.back(),
                   recv.rows());
  return rows;
}

}  // namespace switchyard
