// Short words as keys that are compared at once, and what is known of them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace switchyard {

/// A word's bytes, zeros, and its length as the last byte.
struct WordKey {
  static constexpr size_t kMostBytes = 15;
  static constexpr size_t kReadable = 16;  ///< bytes that must be readable from the word's start on
  uint64_t low, high;

  /// Of a word of at most kMostBytes bytes.
  static WordKey of(std::string_view word) {
    WordKey key;
    std::memcpy(&key, word.data(), sizeof(key));
    key.low &= kMasks[word.size()].low;
    key.high = (key.high & kMasks[word.size()].high) | uint64_t{word.size()} << 56;
    return key;
  }
  bool operator==(const WordKey& other) const { return ((low ^ other.low) | (high ^ other.high)) == 0; }
  uint64_t hash() const {
    const uint64_t mixed = (low ^ high * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return mixed ^ mixed >> 32;
  }

 private:
  struct Mask {
    uint64_t low, high;
  };
  static constexpr std::array<Mask, kMostBytes + 1> kMasks = [] {
    std::array<Mask, kMostBytes + 1> masks{};
    for (size_t size = 0; size <= kMostBytes; ++size)
      for (size_t i = 0; i < size; ++i) (i < 8 ? masks[size].low : masks[size].high) |= uint64_t{0xff} << (i % 8 * 8);
    return masks;
  }();
};

/// The vocabulary's short words in one flat table.
class WordTable {
 public:
  /// Whether a word that is a token also becomes this token by merges. Found out when it is first asked: threads that
  /// do so at the same time find the same.
  enum class Whole : uint8_t { unknown, yes, no };
  struct Slot {
    WordKey key{};
    int32_t id = -1;  ///< -1: free
    std::atomic<Whole> whole{Whole::unknown};
  };

  explicit WordTable(size_t words) : slots_(size_for(words)) {}
  void add(const WordKey& key, int32_t id) {
    Slot& slot = find(key);
    slot.key = key;
    slot.id = id;
  }
  /// Its slot, or a free one.
  Slot& find(const WordKey& key) {
    size_t at = key.hash() & (slots_.size() - 1);
    while (slots_[at].id >= 0 && !(slots_[at].key == key)) at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }

 private:
  static size_t size_for(size_t words) {
    size_t size = 64;
    while (size < 2 * words) size *= 2;
    return size;
  }
  std::vector<Slot> slots_;
};

}  // namespace switchyard
