// The merges of byte pair encoding, and the order in which they are done: always the pair of the least rank, of equal
// ones the leftmost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

struct Merge {
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static constexpr uint32_t kMostRanks = uint32_t{1} << 26;
  uint32_t rank = kNoRank;  ///< kNoRank: these two are not merged
  int32_t token = -1;       ///< what they become
};

/// Pairs of tokens in one flat table.
class MergeTable {
 public:
  /// A later merge of the same pair takes the place of an earlier one.
  void add(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = slot_of(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].merge;
      if (slots_[at].key == kFree) return {};
    }
  }
  size_t size() const { return size_; }

  /// visit(left, right, merge), in no order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != kFree) visit(static_cast<int32_t>(slot.key >> 32), static_cast<int32_t>(slot.key), slot.merge);
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const { return key * 0x9e3779b97f4a7c15u >> shift_; }
  void put(uint64_t key, Merge merge);

  std::vector<Slot> slots_ = std::vector<Slot>(64);  ///< open addressing, at most half full
  int shift_ = 64 - 6;
  size_t size_ = 0;
};

/// Memory that merge_all works in; kept from call to call.
struct MergeScratch {
  struct Merged {
    int32_t token;
    int32_t begin;  ///< the first of the word's tokens that it was made of
  };
  struct Symbol {
    int32_t token;
    int32_t previous, next;  ///< -1: none
    Merge merge;             ///< with the next
  };
  std::vector<Merged> merged, window;
  std::vector<Symbol> symbols;
  std::vector<uint64_t> heap;
};

/// Merges the tokens of a word until no pair is left: `tokens` becomes shorter. n log n at worst for n tokens, of fewer
/// than 2^31; for long words of most texts n.
void merge_all(const MergeTable& table, std::vector<int32_t>& tokens, MergeScratch& scratch);

}  // namespace switchyard
