#include "train/selection/element_set.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

int64_t num_words(int64_t elements) {
  return (elements + 63) / 64;
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

ElementSet::ElementSet(int64_t size, std::vector<uint64_t> bits) : size_(size), bits_(std::move(bits)) {
  SWITCHYARD_CHECK(std::ssize(bits_) == num_words(size), "{} words of bits for {} elements", bits_.size(), size);
  for (size_t i = 0; i < bits_.size(); ++i) {
    if (i % kWordsTogether == 0) before_.push_back(count_);
    count_ += std::popcount(bits_[i]);
  }
  if (count_ != 0 && count_ != size_) return;
  bits_ = {};  // memory for nothing
  before_ = {};
}

int64_t ElementSet::before(int64_t element) const {
  if (bits_.empty()) return is_all() ? element : 0;
  if (element == size_) return count_;
  const int64_t word = element / 64, first = word / kWordsTogether * kWordsTogether;
  int64_t sum = before_[static_cast<size_t>(word / kWordsTogether)];
  for (int64_t i = first; i < word; ++i) sum += std::popcount(bits_[static_cast<size_t>(i)]);
  const uint64_t below = (uint64_t{1} << (element % 64)) - 1;
  return sum + std::popcount(bits_[static_cast<size_t>(word)] & below);
}

int64_t ElementSet::at(int64_t index) const {
  SWITCHYARD_CHECK(index >= 0 && index < count_, "member {} of {}", index, count_);
  if (bits_.empty()) return index;
  const auto after = std::ranges::upper_bound(before_, index);
  const auto together = static_cast<int64_t>(after - before_.begin()) - 1;
  int64_t left = index - before_[static_cast<size_t>(together)];
  auto word = static_cast<size_t>(together * kWordsTogether);
  for (; left >= std::popcount(bits_[word]); ++word) left -= std::popcount(bits_[word]);
  uint64_t bits = bits_[word];
  for (; left > 0; --left) bits &= bits - 1;
  return static_cast<int64_t>(word) * 64 + std::countr_zero(bits);
}

void ElementSet::compress(const ElementRange& range, std::span<const float> from, std::span<float> to) const {
  const int64_t first_index = before(range.first);
  for_each_run(range, [&](int64_t first, int64_t count, int64_t index) {
    std::copy_n(from.data() + (first - range.first), count, to.data() + (index - first_index));
  });
}

void ElementSet::expand(const ElementRange& range, std::span<const float> from, std::span<float> to) const {
  const int64_t first_index = before(range.first);
  for_each_run(range, [&](int64_t first, int64_t count, int64_t index) {
    std::copy_n(from.data() + (index - first_index), count, to.data() + (first - range.first));
  });
}

size_t ElementSet::bytes_of(int64_t size) {
  const int64_t words = num_words(size);
  return static_cast<size_t>(words + (words + kWordsTogether - 1) / kWordsTogether) * sizeof(uint64_t);
}

}  // namespace switchyard
