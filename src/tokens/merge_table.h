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

/// Pairs of tokens in one flat table. Most pairs that are asked for are not there, and the table is larger than a
/// core's cache: a filter of some bits for each slot, by the same hash, answers for nearly all of these. Which are
/// there is a matter of chance, which no processor foresees: so finding one has no branch that depends on it.
class MergeTable {
 public:
  /// A later merge of the same pair takes the place of an earlier one.
  void add(int32_t left, int32_t right, Merge merge);

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right), place = place_of(key);
    const uint64_t may_be_there = filter_[place / 64] >> (place % 64) & 1;
    const size_t at = place >> kFilterBits & -may_be_there;  // otherwise slots_[0] is as good as any
    const Slot &first = slots_[at], &second = slots_[at ^ 1];
    uint64_t found = (first.merge | -uint64_t{first.key != key}) & (second.merge | -uint64_t{second.key != key});
    const uint64_t may_be_behind = may_be_there & uint64_t{second.key != kFree} & uint64_t{found == kNoMerge};
    if (may_be_behind != 0) [[unlikely]]
      found = slots_[slot_of(key)].merge;
    return unpacked(found);
  }

  /// The same for pairs that a word begins with: most are of bytes, and these have small ids in most vocabularies.
  Merge find_first(int32_t left, int32_t right) const {
    return are_small(left, right) ? unpacked(small_[small_place(left, right)]) : find(left, right);
  }

  size_t size() const { return size_; }

  /// visit(left, right, merge), in no order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != kFree)
        visit(static_cast<int32_t>(slot.key >> 32), static_cast<int32_t>(slot.key), unpacked(slot.merge));
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0}, kNoMerge = ~uint64_t{0};
  static constexpr int32_t kSmall = 256;
  static constexpr int kFirstBits = 6;   // of slots
  static constexpr int kFilterBits = 2;  // 2^2 bits of the filter for a slot
  struct Slot {
    uint64_t key = kFree;
    uint64_t merge = kNoMerge;  ///< packed
  };
  static uint64_t packed(Merge merge) { return uint64_t{static_cast<uint32_t>(merge.token)} << 32 | merge.rank; }
  static Merge unpacked(uint64_t merge) {
    return {static_cast<uint32_t>(merge), static_cast<int32_t>(static_cast<uint32_t>(merge >> 32))};
  }
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  /// Of its bit in the filter; without the lowest kFilterBits bits, of its slot.
  uint64_t place_of(uint64_t key) const { return key * 0x9e3779b97f4a7c15u >> shift_; }
  static bool are_small(int32_t left, int32_t right) { return static_cast<uint32_t>(left | right) < kSmall; }
  static size_t small_place(int32_t left, int32_t right) { return static_cast<size_t>(left * kSmall + right); }
  size_t slot_of(uint64_t key) const;
  void put(uint64_t key, uint64_t merge);

  std::vector<Slot> slots_ = std::vector<Slot>(size_t{1} << kFirstBits);  ///< open addressing, at most half full
  std::vector<uint64_t> filter_ = std::vector<uint64_t>(size_t{1} << (kFirstBits + kFilterBits - 6));
  std::vector<uint64_t> small_ = std::vector<uint64_t>(size_t{kSmall} * kSmall, kNoMerge);
  int shift_ = 64 - kFirstBits - kFilterBits;
  size_t size_ = 0;
};

}  // namespace switchyard
