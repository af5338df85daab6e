// Which of a block's elements train.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/ordered_sum.h"
#include "kernels/rows/members.h"

namespace switchyard {

/// A set of elements 0 … size − 1: all, none, or some as bits, with counts of them. What is kept of its members alone
/// lies in their order: that of element i at before(i).
class ElementSet {
 public:
  ElementSet() = default;
  static ElementSet none(int64_t size);
  static ElementSet all(int64_t size);
  /// To measure with: so many of them, spread evenly, but nobody knows which.
  static ElementSet of_shape(int64_t size, int64_t count);
  /// bits: [⌈size / 64⌉] words, the lowest bit first; those behind the last element are 0.
  ElementSet(int64_t size, std::vector<uint64_t> bits);

  int64_t size() const { return size_; }
  int64_t count() const { return count_; }
  bool is_all() const { return count_ == size_; }
  bool is_empty() const { return count_ == 0; }
  bool has(int64_t element) const {
    return bits_.empty() ? is_all() : (bits_[static_cast<size_t>(element / 64)] >> (element % 64) & 1) != 0;
  }
  /// Members below an element, or below the end.
  int64_t before(int64_t element) const;
  int64_t count_in(const ElementRange& range) const { return before(range.end) - before(range.first); }
  int64_t at(int64_t index) const;  ///< the member with so many before it

  /// to[i] = the members' values of a range.   from: [range.count()]; to: [count_in(range)]
  void compress(const ElementRange& range, std::span<const float> from, std::span<float> to) const;
  /// And back: to[members] = from; others stay.
  void expand(const ElementRange& range, std::span<const float> from, std::span<float> to) const;

  /// From an element on; of all and of none there are no words.
  ElementBits bits(int64_t first) const {
    return bits_.empty() ? ElementBits{} : ElementBits{bits_.data(), first, counts_.data()};
  }
  std::span<const uint64_t> words() const { return bits_; }
  size_t bytes() const { return bits_.size() * sizeof(uint64_t) + counts_.size() * sizeof(int64_t); }
  /// Of a set of so many elements that is neither all nor none.
  static size_t bytes_of(int64_t size);

 private:
  int64_t size_ = 0, count_ = 0;
  std::vector<uint64_t> bits_;
  std::vector<int64_t> counts_;  ///< as ElementBits has them
};

}  // namespace switchyard
