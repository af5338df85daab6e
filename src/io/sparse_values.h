// Values of some elements of a tensor, in a safetensors file: one tensor has the values, another beside it says whose
// they are, by flat index: a list of u32, ascending, or a bitmap (bit i % 8, lowest first, of byte i / 8).
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/safetensors.h"

namespace switchyard {

/// How elements of a tensor are named.
enum class ElementList : uint8_t { index, bitmap };

/// What is smaller for `count` of a tensor's elements; an index where they are equal. Only a bitmap has more than 2^32
/// elements.
ElementList smaller_list(uint64_t elements, uint64_t count);
uint64_t bytes_of_list(ElementList list, uint64_t elements, uint64_t count);

class SparseValues {
 public:
  /// Of tensors of this file. Fails (input) where they do not fit together, naming them.
  SparseValues(const InputFile& file, const TensorInfo& values, const TensorInfo& elements);

  uint64_t count() const { return count_; }
  size_t value_bytes() const { return value_bytes_; }
  uint64_t stored_bytes() const { return values_.bytes + elements_.bytes; }
  ElementList list() const { return list_; }
  /// Fails (input) unless it can be of a tensor of so many elements, as far as lengths tell.
  void require_fits(uint64_t elements) const;
  /// One beyond the last element. As visit(), it reads what says whose values they are.
  uint64_t end() const;

  /// elements: ascending; values: one each, in that order.
  using Visit = std::function<void(std::span<const uint64_t> elements, std::span<const std::byte> values)>;
  /// Visits those in [first, end), in order, some at a time. Thread-safe. The first call of all reads the whole list,
  /// keeps some numbers by which to find places in it, and fails (input) unless it is as it should be: ascending, no
  /// element twice, as many as there are values.
  void visit(uint64_t first, uint64_t end, const Visit& visit) const;

 private:
  static constexpr uint64_t kIndicesAtOnce = 4096, kBitsAtOnce = uint64_t{1} << 16;

  void scan() const;
  void scan_index() const;
  void scan_bitmap() const;
  void visit_index(uint64_t first, uint64_t end, const Visit& visit) const;
  void visit_bitmap(uint64_t first, uint64_t end, const Visit& visit) const;
  void hand_over(std::span<const uint64_t> elements, uint64_t place, std::vector<std::byte>& buffer,
                 const Visit& visit) const;
  std::span<const uint32_t> read_indices(uint64_t block, std::vector<uint32_t>& buffer) const;
  std::span<const uint8_t> read_bits(uint64_t block, std::vector<uint8_t>& buffer) const;
  std::string subject() const;

  const InputFile& file_;
  const TensorInfo values_, elements_;
  const ElementList list_;
  const uint64_t count_;
  const size_t value_bytes_;
  mutable std::once_flag scanned_;
  /// Of every block of the list: an index's first element, or how many elements come before those of a bitmap.
  mutable std::vector<uint64_t> blocks_;
  mutable uint64_t end_ = 0;
};

}  // namespace switchyard
