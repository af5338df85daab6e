// The merges of byte pair encoding: which two tokens become which, and how early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace switchyard {

struct Merge {
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static constexpr uint32_t kMostRanks = (uint32_t{1} << 26) - 1;
  uint32_t rank = kNoRank;  ///< kNoRank: these two are not merged
  int32_t token = -1;       ///< what they become
};

/// Pairs of tokens in one flat table, four to a cache line. Most pairs that are asked for are not there, and the table
/// is larger than a core's cache: a filter of some bits for each slot, by the same hash, answers for nearly all of
/// these. Which are there is a matter of chance, which no processor foresees: so finding one has no branch that depends
/// on it, but for the few pairs that their line has no place for.
class MergeTable {
 public:
  /// A later merge of the same pair takes the place of an earlier one.
  void add(int32_t left, int32_t right, Merge merge);

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    const Place place = place_of(key);
    const uint64_t bits = filter_[place.filter];
    const uint64_t may_be_there = bits >> place.first_bit & bits >> place.second_bit & 1;
    const Line& line = lines_[place.line & -may_be_there];  // otherwise the first is as good as any
    const U64x4 of_slots = line.merges & static_cast<U64x4>(line.keys == key);
    const U64x2 of_halves =
        __builtin_shufflevector(of_slots, of_slots, 0, 1) | __builtin_shufflevector(of_slots, of_slots, 2, 3);
    uint64_t found = (of_halves | __builtin_shufflevector(of_halves, of_halves, 1, 0))[0];
    const uint64_t may_be_behind = may_be_there & uint64_t{found == 0} & uint64_t{line.keys[kSlots - 1] != kFree};
    if (may_be_behind != 0) [[unlikely]]
      found = find_behind(key);
    return unpacked(~found);
  }

  /// The same for pairs that a word begins with: most are of bytes, and these have small ids in most vocabularies.
  Merge find_first(int32_t left, int32_t right) const {
    return are_small(left, right) ? unpacked(small_[small_place(left, right)]) : find(left, right);
  }

  size_t size() const { return size_; }

  /// visit(left, right, merge), in no order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Line& line : lines_)
      for (size_t i = 0; i < kSlots; ++i)
        if (line.keys[i] != kFree)
          visit(static_cast<int32_t>(line.keys[i] >> 32), static_cast<int32_t>(line.keys[i]),
                unpacked(~line.merges[i]));
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0}, kNoMerge = ~uint64_t{0};
  static constexpr int32_t kSmall = 256;
  static constexpr size_t kSlots = 4;
  static constexpr int kFirstBits = 4;   // of lines
  static constexpr int kFilterBits = 4;  // 2^4 bits of the filter for a line
  using U64x2 = uint64_t __attribute__((vector_size(16)));
  using U64x4 = uint64_t __attribute__((vector_size(32)));
  struct alignas(64) Line {
    U64x4 keys = U64x4{} + kFree;
    U64x4 merges = {};  ///< packed, and all bits turned: 0 is no merge
  };
  struct Place {
    size_t line, filter;  ///< of a line, and of the word of the filter that has its two bits
    uint64_t first_bit, second_bit;
  };
  static uint64_t packed(Merge merge) { return uint64_t{static_cast<uint32_t>(merge.token)} << 32 | merge.rank; }
  static Merge unpacked(uint64_t merge) {
    return {static_cast<uint32_t>(merge), static_cast<int32_t>(static_cast<uint32_t>(merge >> 32))};
  }
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  Place place_of(uint64_t key) const {
    const uint64_t hash = key * 0x9e3779b97f4a7c15u, first = hash >> shift_;
    return {first >> kFilterBits, first / 64, first % 64, hash >> (shift_ - 6) & 63};
  }
  static bool are_small(int32_t left, int32_t right) { return static_cast<uint32_t>(left | right) < kSmall; }
  static size_t small_place(int32_t left, int32_t right) {
    return static_cast<size_t>(left) * kSmall + static_cast<size_t>(right);
  }
  uint64_t find_behind(uint64_t key) const;
  void put(uint64_t key, uint64_t merge);

  std::vector<Line> lines_ = std::vector<Line>(size_t{1} << kFirstBits);  ///< open addressing, at most half full
  std::vector<uint64_t> filter_ = std::vector<uint64_t>(size_t{1} << (kFirstBits + kFilterBits - 6));
  std::vector<uint64_t> small_ = std::vector<uint64_t>(size_t{kSmall} * kSmall, kNoMerge);
  int shift_ = 64 - kFirstBits - kFilterBits;
  size_t size_ = 0;
};

}  // namespace switchyard
