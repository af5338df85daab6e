#include "io/sparse_values.h"

#include <algorithm>
#include <bit>

namespace switchyard {
namespace {

constexpr uint64_t kIndexBytes = sizeof(uint32_t), kMostIndexed = uint64_t{1} << 32;

uint64_t product_of(const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  for (const int64_t extent : shape) elements *= static_cast<uint64_t>(extent);  // of a header that was checked
  return elements;
}

/// f(element) for each bit that is set.
template <class F>
void for_each_bit(std::span<const uint8_t> bits, uint64_t first, const F& f) {
  for (size_t byte = 0; byte < bits.size(); ++byte)
    for (uint32_t left = bits[byte]; left != 0; left &= left - 1)
      f(first + 8 * byte + static_cast<uint64_t>(std::countr_zero(left)));
}

}  // namespace

uint64_t bytes_of_list(ElementList list, uint64_t elements, uint64_t count) {
  return list == ElementList::index ? kIndexBytes * count : (elements + 7) / 8;
}

ElementList smaller_list(uint64_t elements, uint64_t count) {
  if (elements >= kMostIndexed) return ElementList::bitmap;
  const auto bytes = [&](ElementList list) { return bytes_of_list(list, elements, count); };
  return bytes(ElementList::index) <= bytes(ElementList::bitmap) ? ElementList::index : ElementList::bitmap;
}

SparseValues::SparseValues(const InputFile& file, const TensorInfo& values, const TensorInfo& elements)
    : file_(file),
      values_(values),
      elements_(elements),
      list_(elements.dtype_name == "U32" ? ElementList::index : ElementList::bitmap),
      count_(product_of(values.shape)),
      value_bytes_(count_ == 0 ? 0 : values.bytes / count_) {
  const std::string_view expected = elements.name.ends_with(":index") ? "U32" : "U8";
  if (elements.dtype_name != expected || elements.shape.size() != 1)
    fail(ExitCode::input, "{}: expected {} of one axis, found {} {}", subject(), expected, elements.dtype_name,
         elements.shape_str());
  if (values.shape.size() != 1 || count_ == 0)
    fail(ExitCode::input, "{}: tensor {}: expected one axis of at least one value, found {}", file.path().native(),
         values.name, values.shape_str());
  if (list_ == ElementList::index ? product_of(elements.shape) != count_ : 8 * elements.bytes < count_)
    fail(ExitCode::input, "{}: {} {} for the {} values of {}", subject(), elements.dtype_name, elements.shape_str(),
         count_, values.name);
}

std::string SparseValues::subject() const {
  return fmt::format("{}: tensor {}", file_.path().native(), elements_.name);
}

void SparseValues::require_fits(uint64_t elements) const {
  if (list_ == ElementList::bitmap ? elements_.bytes != (elements + 7) / 8 : count_ > elements)
    fail(ExitCode::input, "{}: {} {}, but the model has {} elements there", subject(), elements_.dtype_name,
         elements_.shape_str(), elements);
}

std::span<const uint32_t> SparseValues::read_indices(uint64_t block, std::vector<uint32_t>& buffer) const {
  const uint64_t first = block * kIndicesAtOnce;
  buffer.resize(std::min(kIndicesAtOnce, count_ - first));
  file_.read(elements_.offset + first * kIndexBytes, std::as_writable_bytes(std::span(buffer)));
  return buffer;
}

std::span<const uint8_t> SparseValues::read_bits(uint64_t block, std::vector<uint8_t>& buffer) const {
  const uint64_t first = block * (kBitsAtOnce / 8);
  buffer.resize(std::min(kBitsAtOnce / 8, elements_.bytes - first));
  file_.read(elements_.offset + first, std::as_writable_bytes(std::span(buffer)));
  return buffer;
}

void SparseValues::scan_index() const {
  std::vector<uint32_t> buffer;
  for (uint64_t first = 0; first < count_; first += kIndicesAtOnce) {
    const auto indices = read_indices(first / kIndicesAtOnce, buffer);
    blocks_.push_back(indices.front());
    for (size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] < end_)
        fail(ExitCode::input, "{}: [{}] is {}, expected more than {} before it", subject(), first + i, indices[i],
             end_ - 1);
      end_ = uint64_t{indices[i]} + 1;
    }
  }
}

void SparseValues::scan_bitmap() const {
  std::vector<uint8_t> buffer;
  uint64_t found = 0;
  for (uint64_t first = 0; first < 8 * elements_.bytes; first += kBitsAtOnce) {
    blocks_.push_back(found);
    for_each_bit(read_bits(first / kBitsAtOnce, buffer), first, [&](uint64_t element) {
      ++found;
      end_ = element + 1;
    });
  }
  if (found != count_)
    fail(ExitCode::input, "{}: {} bits are set, expected one for each of the {} values of {}", subject(), found, count_,
         values_.name);
}

void SparseValues::scan() const {
  std::call_once(scanned_, [&] {
    blocks_.clear();  // of a scan that failed
    end_ = 0;
    if (list_ == ElementList::index)
      scan_index();
    else
      scan_bitmap();
  });
}

uint64_t SparseValues::end() const {
  scan();
  return end_;
}

void SparseValues::visit(uint64_t first, uint64_t end, const Visit& visit) const {
  scan();
  end = std::min(end, end_);
  if (first >= end) return;
  if (list_ == ElementList::index)
    visit_index(first, end, visit);
  else
    visit_bitmap(first, end, visit);
}

/// place: of the first of these values.
void SparseValues::hand_over(std::span<const uint64_t> elements, uint64_t place, std::vector<std::byte>& buffer,
                             const Visit& visit) const {
  if (elements.empty()) return;
  buffer.resize(elements.size() * value_bytes_);
  file_.read(values_.offset + place * value_bytes_, buffer);
  visit(elements, buffer);
}

void SparseValues::visit_index(uint64_t first, uint64_t end, const Visit& visit) const {
  std::vector<uint32_t> indices;
  std::vector<uint64_t> elements;
  std::vector<std::byte> values;
  // The last block that begins at or before `first`.
  const auto after = static_cast<uint64_t>(std::ranges::upper_bound(blocks_, first) - blocks_.begin());
  for (uint64_t block = std::max<uint64_t>(after, 1) - 1; block < blocks_.size() && blocks_[block] < end; ++block) {
    const auto all = read_indices(block, indices);
    const auto from = std::ranges::lower_bound(all, first), to = std::ranges::lower_bound(from, all.end(), end);
    elements.assign(from, to);
    hand_over(elements, block * kIndicesAtOnce + static_cast<uint64_t>(from - all.begin()), values, visit);
  }
}

void SparseValues::visit_bitmap(uint64_t first, uint64_t end, const Visit& visit) const {
  std::vector<uint8_t> bits;
  std::vector<uint64_t> elements;
  std::vector<std::byte> values;
  for (uint64_t block = first / kBitsAtOnce; block * kBitsAtOnce < end; ++block) {
    uint64_t place = blocks_[block];
    elements.clear();
    for_each_bit(read_bits(block, bits), block * kBitsAtOnce, [&](uint64_t element) {
      if (element < first)
        ++place;
      else if (element < end)
        elements.push_back(element);
    });
    hand_over(elements, place, values, visit);
  }
}

}  // namespace switchyard
