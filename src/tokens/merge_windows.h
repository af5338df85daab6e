// Merging window by window: what makes long words as cheap a byte as short ones.
//
// That this is exact rests on what no border of the result crosses: tokens t1 … tn are the result of a text if and only
// if that of each two neighbours' text is these two. (Merges are chosen by rank and place; restricted to the text of
// two neighbours they are chosen alike, up to the first that crosses a border, which then would cross it there as
// well.) So where the results of two parts of a text that overlap have one token in common, that of the first part up
// to this token and that of the second from it on are together the result of both.
#pragma once

#include <array>
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
class MergeWindow {
 public:
  static constexpr size_t kMost = 64;

  /// 1 to kMost tokens.
  void begin(const MergeTable& table, std::span<const int32_t> tokens);
  /// One merge; false if there is none left.
  bool step(const MergeTable& table);
  /// Appends what became of the tokens, of which the first is the word's at `begin`.
  void append_to(std::vector<MergedToken>& out, size_t begin) const;

 private:
  static constexpr uint32_t kPlaceBits = 6, kBlock = 8;
  static_assert(kMost == size_t{1} << kPlaceBits && Merge::kMostRanks <= Merge::kNoRank >> kPlaceBits);

  uint32_t key_of_pair(Merge merge, uint32_t left) {
    becomes_[left] = merge.token;
    return merge.rank << kPlaceBits | left;
  }
  void find_least();

  uint32_t keys_[kMost + 1];  ///< of the pair that begins at a place: rank << kPlaceBits | place; the last is nobody's
  int32_t tokens_[kMost], becomes_[kMost];
  uint64_t begins_;  ///< bits: the places where tokens begin
  uint32_t least_;   ///< of keys_
  uint32_t blocks_;  ///< of keys_ that are used
};

/// A part of a word, merged from left to right by windows, each of the last tokens of what came before and of some new
/// ones. Where a window's first token comes out as it was, it is the token in common.
class MergeLane {
 public:
  /// Of the word's tokens those from `begin` to `end`, and as many more as the last window takes.
  void start(std::span<const int32_t> word, size_t begin, size_t end);
  bool done() const { return at_ >= end_; }
  size_t end() const { return end_; }
  const std::vector<MergedToken>& merged() const { return merged_; }

  /// A window's three stages; those of several lanes may be done in turns. begin_window(): false if the lane has come
  /// to tokens that are too long for windows; step(): false if the window is merged.
  bool begin_window(const MergeTable& table);
  bool step(const MergeTable& table) { return window_is_new_ && window_.step(table); }
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
