#include "train/selection/element_set.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

int64_t num_words(int64_t elements) {
  return (elements + 63) / 64;
}

constexpr size_t kWordsCounted = ElementBits::kCounted / 64;

size_t num_counts(int64_t elements) {
  return static_cast<size_t>(num_words(elements)) / kWordsCounted + 1;
}

}  // namespace

ElementSet ElementSet::none(int64_t size) {
  ElementSet set;
  set.size_ = size;
  return set;
}

ElementSet ElementSet::all(int64_t size) {
  ElementSet set;
  set.size_ = set.count_ = size;
  return set;
}

ElementSet ElementSet::of_shape(int64_t size, int64_t count) {
  ElementSet set;
  set.size_ = size;
  set.count_ = count;
  return set;
}

ElementSet::ElementSet(int64_t size, std::vector<uint64_t> bits) : size_(size), bits_(std::move(bits)) {
  SWITCHYARD_CHECK(std::ssize(bits_) == num_words(size), "{} words of bits for {} elements", bits_.size(), size);
  counts_.reserve(num_counts(size));
  for (size_t i = 0; i < bits_.size(); ++i) {
    if (i % kWordsCounted == 0) counts_.push_back(count_);
    count_ += std::popcount(bits_[i]);
  }
  if (bits_.size() % kWordsCounted == 0) counts_.push_back(count_);  // before the end
  if (count_ != 0 && count_ != size_) return;
  bits_ = {};  // memory for nothing
  counts_ = {};
}

int64_t ElementSet::before(int64_t element) const {
  if (is_all()) return element;
  if (bits_.empty()) {  // nobody knows which
    const double share = static_cast<double>(count_) / static_cast<double>(size_);
    return element == size_ ? count_ : static_cast<int64_t>(static_cast<double>(element) * share);
  }
  return bits(element).before(0);
}

int64_t ElementSet::at(int64_t index) const {
  SWITCHYARD_CHECK(index >= 0 && index < count_, "member {} of {}", index, count_);
  if (bits_.empty()) return index;
  // The last word that has no more before it.
  int64_t first = 0, end = std::ssize(bits_);
  while (end - first > 1) {
    const int64_t middle = (first + end) / 2;
    (before(middle * 64) <= index ? first : end) = middle;
  }
  uint64_t bits = bits_[static_cast<size_t>(first)];
  for (int64_t left = index - before(first * 64); left > 0; --left) bits &= bits - 1;
  return first * 64 + std::countr_zero(bits);
}

void ElementSet::compress(const ElementRange& range, std::span<const float> from, std::span<float> to) const {
  if (is_all()) std::copy_n(from.begin(), range.count(), to.begin());
  if (!bits_.empty()) cpu::gather_members(bits_.data(), range.first, from.data(), range.count(), to.data());
}

void ElementSet::expand(const ElementRange& range, std::span<const float> from, std::span<float> to) const {
  if (is_all()) std::copy_n(from.begin(), range.count(), to.begin());
  if (!bits_.empty()) cpu::scatter_members(bits_.data(), range.first, from.data(), range.count(), to.data());
}

size_t ElementSet::bytes_of(int64_t size) {
  return static_cast<size_t>(num_words(size)) * sizeof(uint64_t) + num_counts(size) * sizeof(int64_t);
}

}  // namespace switchyard
