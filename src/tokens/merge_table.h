// The merges of byte pair encoding: which two tokens become which, and how early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace switchyard {

struct Merge {
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static constexpr uint32_t kMostRanks = (uint32_t{1} << 22) - 1;
  uint32_t rank = kNoRank;  ///< kNoRank: these two are not merged
  int32_t token = -1;       ///< what they become
};

/// Pairs of tokens in one flat table. Most pairs that are asked for are not there, and the table is larger than a
/// core's cache: a filter of some bits for each slot, by the same hash, answers for nearly all of these, and a slot is
/// one word. Which are there is a matter of chance, which no processor foresees: so finding one has no branch that
/// depends on it.
class MergeTable {
 public:
  static constexpr int32_t kMostIds = int32_t{1} << 21;  ///< of tokens, all of which are below it

  /// A later merge of the same pair takes the place of an earlier one. Ranks are used once.
  void add(int32_t left, int32_t right, Merge merge);

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right), place = place_of(key);
    const uint64_t may_be_there = filter_[place / 64] >> (place % 64) & 1;
    const size_t at = place >> kFilterBits & -may_be_there;  // otherwise slots_[0] is as good as any
    const uint64_t first = slots_[at], second = slots_[at ^ 1];
    uint64_t rank = rank_if(first, key) & rank_if(second, key);
    const uint64_t may_be_behind = may_be_there & uint64_t{second != kFree} & uint64_t{rank == kNone};
    if (may_be_behind != 0) [[unlikely]]
      rank = rank_if(slots_[slot_of(key)], key);
    return of_rank(static_cast<uint32_t>(rank));
  }

  /// The same for pairs that a word begins with: most are of bytes, and these have small ids in most vocabularies.
  Merge find_first(int32_t left, int32_t right) const {
    return are_small(left, right) ? of_rank(small_[small_place(left, right)]) : find(left, right);
  }

  size_t size() const { return size_; }

  /// visit(left, right, merge), in no order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const uint64_t slot : slots_)
      if (slot != kFree)
        visit(static_cast<int32_t>(slot >> (kRankBits + kIdBits)),
              static_cast<int32_t>(slot >> kRankBits & (kMostIds - 1)), of_rank(slot & kRankMask));
  }

 private:
  static constexpr int kIdBits = 21, kRankBits = 22;  // a slot: left, right, rank
  static_assert(kMostIds == 1 << kIdBits && Merge::kMostRanks == (1 << kRankBits) - 1 && 2 * kIdBits + kRankBits == 64);
  static constexpr uint64_t kFree = ~uint64_t{0}, kNone = ~uint64_t{0}, kRankMask = (uint64_t{1} << kRankBits) - 1;
  static constexpr int32_t kSmall = 256;
  static constexpr int kFirstBits = 6;   // of slots
  static constexpr int kFilterBits = 2;  // 2^2 bits of the filter for a slot

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << kIdBits | static_cast<uint32_t>(right);
  }
  /// kNone: the slot has another key, or none.
  static uint64_t rank_if(uint64_t slot, uint64_t key) {
    return (slot & kRankMask) | -uint64_t{(slot >> kRankBits) != key || slot == kFree};
  }
  /// In most vocabularies tokens are numbered as their merges are: then there is nothing to look up.
  Merge of_rank(uint32_t rank) const {
    if (in_order_) return {rank, static_cast<int32_t>(rank + first_token_)};
    return rank == Merge::kNoRank ? Merge{} : Merge{rank, tokens_[rank]};
  }
  /// Of its bit in the filter; without the lowest kFilterBits bits, of its slot.
  uint64_t place_of(uint64_t key) const { return key * 0x9e3779b97f4a7c15u >> shift_; }
  static bool are_small(int32_t left, int32_t right) { return static_cast<uint32_t>(left | right) < kSmall; }
  static size_t small_place(int32_t left, int32_t right) { return static_cast<size_t>(left * kSmall + right); }
  size_t slot_of(uint64_t key) const;
  void put(uint64_t slot);

  std::vector<uint64_t> slots_ = std::vector<uint64_t>(size_t{1} << kFirstBits, kFree);  ///< open addressing, at most
                                                                                         ///< half full
  std::vector<uint64_t> filter_ = std::vector<uint64_t>(size_t{1} << (kFirstBits + kFilterBits - 6));
  std::vector<uint32_t> small_ = std::vector<uint32_t>(size_t{kSmall} * kSmall, Merge::kNoRank);  ///< ranks
  std::vector<int32_t> tokens_;                                                                   ///< by rank
  uint32_t first_token_ = 0;
  bool in_order_ = true;  ///< tokens_[rank] is first_token_ + rank
  int shift_ = 64 - kFirstBits - kFilterBits;
  size_t size_ = 0;
};

}  // namespace switchyard
