// Merging window by window: what makes long words as cheap a byte as short ones.
//
// That this is exact rests on what no border of the result crosses: tokens t1 … tn are the result of a text if and only
// if that of each two neighbours' text is these two. (Merges are chosen by rank and place; restricted to the text of
// two neighbours they are chosen alike, up to the first that crosses a border, which then would cross it there as
// well.) So where the results of two parts of a text that overlap have one token in common, that of the first part up
// to this token and that of the second from it on are together the result of both.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tokens/merge_table.h"

namespace switchyard {

struct MergedToken {
  int32_t token;
  int32_t begin;  ///< the first of the word's tokens that it was made of
  bool operator==(const MergedToken&) const = default;
};

/// A few tokens in place: what is merged away leaves a hole. The least rank is found by looking over all of them.
///
/// A merge is in two parts, step() and find_least(), so that windows side by side can do all their first parts before
/// their second ones: a processor reads as a vector what it has just written as numbers only once all before that is
/// done, and windows would wait for each other. Both are inline, for a call costs 4 to 7 %.
class MergeWindow {
 public:
  static constexpr size_t kMost = 64;

  /// 1 to kMost tokens.
  void begin(const MergeTable& table, std::span<const int32_t> tokens);
  /// The merge of the least rank; false if there is none left. To be followed by find_least().
  bool step(const MergeTable& table);
  void find_least();
  /// Appends what became of the tokens, of which the first is the word's at `begin`.
  void append_to(std::vector<MergedToken>& out, size_t begin) const;

 private:
  static constexpr uint32_t kPlaceBits = 6;
  static_assert(kMost == size_t{1} << kPlaceBits && Merge::kMostRanks <= Merge::kNoRank >> kPlaceBits);

  uint32_t key_of_pair(Merge merge, uint32_t left) {
    becomes_[left] = merge.token;
    return merge.rank << kPlaceBits | left;
  }

  /// Of the pair that begins at a place: rank << kPlaceBits | place; the last is nobody's.
  alignas(64) uint32_t keys_[kMost + 1];
  int32_t tokens_[kMost], becomes_[kMost];
  uint64_t begins_;  ///< bits: the places where tokens begin
  uint32_t least_;   ///< of keys_
};

inline bool MergeWindow::step(const MergeTable& table) {
  if (least_ >= Merge::kNoRank << kPlaceBits) return false;
  const uint32_t left = least_ & (kMost - 1);
  const uint64_t behind = begins_ & ~uint64_t{1} << left, before = begins_ & ((uint64_t{1} << left) - 1);
  const auto right = static_cast<uint32_t>(std::countr_zero(behind));
  const uint64_t behind_right = behind & (behind - 1);
  begins_ &= ~(uint64_t{1} << right);
  tokens_[left] = becomes_[left];

  uint32_t previous = kMost, previous_key = Merge::kNoRank, left_key = Merge::kNoRank;
  if (behind_right != 0)
    left_key = key_of_pair(table.find(tokens_[left], tokens_[std::countr_zero(behind_right)]), left);
  if (before != 0) {
    previous = static_cast<uint32_t>(std::bit_width(before)) - 1;
    previous_key = key_of_pair(table.find(tokens_[previous], tokens_[left]), previous);
  }
  keys_[left] = left_key;
  keys_[right] = Merge::kNoRank;
  keys_[previous] = previous_key;
  return true;
}

inline void MergeWindow::find_least() {
  uint32_t least = Merge::kNoRank;
  for (const uint32_t key : std::span(keys_).first<kMost>()) least = std::min(least, key);
  least_ = least;
}

/// A part of a word, merged from left to right by windows, each of the last tokens of what came before and of some new
/// ones. Where a window's first token comes out as it was, it is the token in common.
class MergeLane {
 public:
  /// Of the word's tokens those from `begin` to `end`, and as many more as the last window takes.
  void start(std::span<const int32_t> word, size_t begin, size_t end);
  bool done() const { return at_ >= end_; }
  size_t end() const { return end_; }
  const std::vector<MergedToken>& merged() const { return merged_; }

  /// A window's stages; those of several lanes may be done in turns. begin_window(): false if the lane has come to
  /// tokens that are too long for windows; step(): false if the window is merged.
  bool begin_window(const MergeTable& table);
  bool step(const MergeTable& table) { return window_is_new_ && window_.step(table); }
  void find_least() { window_.find_least(); }
  void end_window();

  /// Goes on, through the next lane's part.
  void extend(size_t end) { end_ = end; }
  /// Takes over what the next lane has from a token on that both have. False if there is none among the tokens of the
  /// last window or the last join.
  bool join(const MergeLane& next);

 private:
  void go_back();
  size_t begin_of(size_t index) const {
    return index < merged_.size() ? static_cast<size_t>(merged_[index].begin) : at_;
  }

  std::span<const int32_t> word_;
  size_t at_, end_;  ///< merged up to here; at least to be merged up to here
  size_t kept_;      ///< merged tokens before the window
  size_t new_ = 0;   ///< those from here on have not been looked for in the next lane
  size_t window_begin_ = 0, window_end_ = 0;
  bool window_is_new_ = false;
  MergeWindow window_;
  std::vector<MergedToken> merged_, result_;  ///< result_: what the window became
};

/// Lanes are merged side by side, a merge of each in turn: a merge waits for the one before it, and for memory, in
/// which time the processor does those of the others.
using WindowScratch = std::array<MergeLane, 4>;

/// Merges the tokens of a word (not empty), which becomes shorter. False, and nothing done, if it has tokens too long
/// for windows.
bool merge_in_windows(const MergeTable& table, std::vector<int32_t>& tokens, WindowScratch& lanes);

}  // namespace switchyard
