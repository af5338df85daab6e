#include "base/tensor.h"

#include <algorithm>
#include <limits>

namespace switchyard {
namespace {

constexpr size_t alignment_of(Device device) {
  return device == Device::cpu ? 64 : 256;
}

template <class V>
V sliced(const V& v, int64_t first, int64_t count) {
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && first + count <= v.rows(), "rows {} + {} of {}", first, count,
                   v.shape.str());
  V out = v;
  switch (v.shape.rank()) {
    case 1:
      out.shape = {count};
      break;
    case 2:
      out.shape = {count, v.shape[1]};
      break;
    case 3:
      out.shape = {count, v.shape[1], v.shape[2]};
      break;
    default:
      out.shape = {count, v.shape[1], v.shape[2], v.shape[3]};
      break;
  }
  const auto offset = static_cast<size_t>(first * v.row_elements()) * size_of(v.dtype);
  if (v.data != nullptr)
    out.data = static_cast<decltype(out.data)>(const_cast<std::byte*>(static_cast<const std::byte*>(v.data)) + offset);
  return out;
}

template <class V>
V with_shape(const V& v, Shape shape) {
  SWITCHYARD_CHECK(shape.elements() == v.elements(), "{} reshaped to {}", v.shape.str(), shape.str());
  V out = v;
  out.shape = shape;
  return out;
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  SWITCHYARD_CHECK(dims.size() <= dims_.size(), "a shape of {} extents, at most {}", dims.size(), dims_.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::elements() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<size_t>(i)];
  return n;
}

std::string Shape::str() const {
  return fmt::format("[{}]", fmt::join(dims_.begin(), dims_.begin() + rank_, ", "));
}

int64_t ConstView::row_elements() const {
  int64_t n = 1;
  for (int i = 1; i < shape.rank(); ++i) n *= shape[i];
  return n;
}

ConstView ConstView::slice(int64_t first, int64_t count) const {
  return sliced(*this, first, count);
}
ConstView ConstView::reshaped(Shape other) const {
  return with_shape(*this, other);
}
View View::slice(int64_t first, int64_t count) const {
  return sliced(*this, first, count);
}
View View::reshaped(Shape other) const {
  return with_shape(*this, other);
}

size_t allocation_bytes(const Shape& shape, DType dtype, Device device) {
  int64_t elements = shape.elements();
  if (device == Device::cuda && shape.rank() > 1 && elements > 0)
    elements = elements / shape[0] * ((shape[0] + kRowBucket - 1) / kRowBucket * kRowBucket);
  const size_t alignment = alignment_of(device);
  return (static_cast<size_t>(elements) * size_of(dtype) + alignment - 1) / alignment * alignment;
}

Arena::Arena(size_t capacity, Device device)
    : device_(device), memory_(capacity, device), data_(memory_.data()), capacity_(capacity) {}

Arena::Arena(Arena& whole, size_t capacity)
    : device_(whole.device()),
      data_(static_cast<std::byte*>(whole.alloc({static_cast<int64_t>(capacity)}, DType::u8).data)),
      capacity_(capacity) {}

Arena Arena::measuring(Device device) {
  return {device, nullptr, std::numeric_limits<size_t>::max()};
}

View Arena::alloc(const Shape& shape, DType dtype) {
  const size_t bytes = allocation_bytes(shape, dtype, device_);
  SWITCHYARD_CHECK(bytes <= capacity() - used_, "arena of {} bytes, {} used: {} {} does not fit", capacity(), used_,
                   name_of(dtype), shape.str());
  View view{data_ == nullptr ? nullptr : data_ + used_, shape, dtype, device_};
  used_ += bytes;
  high_water_ = std::max(high_water_, used_);
  return view;
}

}  // namespace switchyard
