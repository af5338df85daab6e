// What a forward pass takes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

/// Records laid end to end, without padding. Every record starts at position 0.
struct Batch {
  std::vector<int32_t> ids;             ///< [tokens]
  std::vector<int32_t> positions;       ///< [tokens]
  std::vector<int64_t> record_offsets;  ///< [records + 1]

  Batch() : record_offsets{0} {}
  /// Records of one token each: no other batch of so many tokens takes more memory.
  static Batch of_single_tokens(int64_t tokens);
  void add(std::span<const int32_t> record);
  void clear();
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  /// Of the records [first, end).
  int64_t tokens_of(int64_t first, int64_t end) const {
    return record_offsets[static_cast<size_t>(end)] - record_offsets[static_cast<size_t>(first)];
  }
  int64_t records() const { return static_cast<int64_t>(record_offsets.size()) - 1; }
};

}  // namespace switchyard
