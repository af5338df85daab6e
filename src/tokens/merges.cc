#include "tokens/merges.h"

#include <algorithm>
#include <functional>
#include <span>

namespace switchyard {
namespace {

using Merged = MergeScratch::Merged;

/// A few tokens in place: what is merged away leaves a hole. The least rank is found by looking over all of them.
class Window {
 public:
  static constexpr size_t kMost = 64;

  /// 1 to kMost tokens, of which `begin` is the first one's place in the word. Appends what they become.
  static void merge(const MergeTable& table, std::span<const int32_t> tokens, size_t begin, std::vector<Merged>& out) {
    Window window(table, tokens);
    window.run();
    for (size_t at = 0; at < tokens.size(); at = window.next_[at])
      out.push_back({window.tokens_[at], static_cast<int32_t>(begin + at)});
  }

 private:
  static constexpr uint32_t kPlaceBits = 6;
  static_assert(kMost == size_t{1} << kPlaceBits && uint64_t{Merge::kMostRanks} << kPlaceBits <= uint64_t{1} << 32);

  Window(const MergeTable& table, std::span<const int32_t> tokens)
      : table_(table), size_(tokens.size()), padded_((tokens.size() + 7) / 8 * 8) {
    std::copy(tokens.begin(), tokens.end(), tokens_);
    std::fill(keys_, keys_ + padded_, Merge::kNoRank);
    for (size_t i = 0; i < size_; ++i) {
      previous_[i] = static_cast<uint8_t>(i - 1);
      next_[i] = static_cast<uint8_t>(i + 1);
    }
    for (size_t i = 0; i + 1 < size_; ++i) renew(i);
  }

  void run() {
    for (;;) {
      uint32_t least = Merge::kNoRank;
      for (size_t i = 0; i < padded_; ++i) least = std::min(least, keys_[i]);
      if (least == Merge::kNoRank) return;
      const size_t left = least & (kMost - 1), right = next_[left];
      tokens_[left] = becomes_[left];
      keys_[right] = Merge::kNoRank;
      next_[left] = next_[right];
      if (next_[left] < size_) previous_[next_[left]] = static_cast<uint8_t>(left);
      renew(left);
      if (left > 0) renew(previous_[left]);
    }
  }

  /// Of the pair that begins at a place.
  void renew(size_t at) {
    const Merge merge = next_[at] < size_ ? table_.find(tokens_[at], tokens_[next_[at]]) : Merge{};
    becomes_[at] = merge.token;
    keys_[at] = merge.rank == Merge::kNoRank ? Merge::kNoRank : merge.rank << kPlaceBits | static_cast<uint32_t>(at);
  }

  const MergeTable& table_;
  size_t size_, padded_;
  uint32_t keys_[kMost];  ///< rank << kPlaceBits | place
  int32_t tokens_[kMost], becomes_[kMost];
  uint8_t previous_[kMost], next_[kMost];
};

/// A list of symbols and a heap of rank << 32 | place. An entry of a pair that is no longer there is known by its rank:
/// ranks are of pairs, and what begins at a place is never the same pair twice.
class HeapMerger {
 public:
  HeapMerger(const MergeTable& table, MergeScratch& scratch)
      : table_(table), symbols_(scratch.symbols), heap_(scratch.heap) {}

  void run(std::vector<int32_t>& tokens) {
    fill(tokens);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const uint64_t entry = heap_.back();
      heap_.pop_back();
      auto& symbol = symbols_[static_cast<uint32_t>(entry)];
      if (symbol.merge.rank == entry >> 32) merge(static_cast<int32_t>(static_cast<uint32_t>(entry)));
    }
    tokens.clear();
    for (int32_t at = 0; at >= 0; at = symbols_[static_cast<size_t>(at)].next)
      tokens.push_back(symbols_[static_cast<size_t>(at)].token);
  }

 private:
  MergeScratch::Symbol& symbol(int32_t at) { return symbols_[static_cast<size_t>(at)]; }

  void fill(const std::vector<int32_t>& tokens) {
    symbols_.resize(tokens.size());
    heap_.clear();
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool last = i + 1 == tokens.size();
      const auto at = static_cast<int32_t>(i);
      symbols_[i] = {tokens[i], at - 1, last ? -1 : at + 1, last ? Merge{} : table_.find(tokens[i], tokens[i + 1])};
      if (symbols_[i].merge.rank != Merge::kNoRank) heap_.push_back(entry_of(at));
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  uint64_t entry_of(int32_t at) { return uint64_t{symbol(at).merge.rank} << 32 | static_cast<uint32_t>(at); }

  void merge(int32_t at) {
    auto& left = symbol(at);
    auto& right = symbol(left.next);
    left.token = left.merge.token;
    left.next = right.next;
    right.merge = {};
    if (left.next >= 0) symbol(left.next).previous = at;
    renew(at);
    if (left.previous >= 0) renew(left.previous);
  }

  void renew(int32_t at) {
    auto& left = symbol(at);
    left.merge = left.next < 0 ? Merge{} : table_.find(left.token, symbol(left.next).token);
    if (left.merge.rank == Merge::kNoRank) return;
    heap_.push_back(entry_of(at));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  const MergeTable& table_;
  std::vector<MergeScratch::Symbol>& symbols_;
  std::vector<uint64_t>& heap_;
};

}  // namespace

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  put(key_of(left, right), merge);
  if (size_ * 2 <= slots_.size()) return;
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  --shift_;
  size_ = 0;
  for (const Slot& slot : old)
    if (slot.key != kFree) put(slot.key, slot.merge);
}

void MergeTable::put(uint64_t key, Merge merge) {
  size_t at = slot_of(key);
  while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
  if (slots_[at].key == kFree) ++size_;
  slots_[at] = {key, merge};
}

namespace {

/// A long word window by window, each of the last tokens of what came before and of some new ones.
///
/// That this is exact rests on what no border of the result crosses: tokens t1 … tn are the result of a text if and
/// only if that of each two neighbours' text is these two. (Merges are chosen by rank and place; restricted to the text
/// of two neighbours they are chosen alike, up to the first that crosses a border, which then would cross it there as
/// well.) So where a window's first token comes out as it was, what is before stays, and all of the window is as in the
/// whole. run() is false where that does not happen within a window.
class WindowMerger {
 public:
  WindowMerger(const MergeTable& table, std::span<const int32_t> tokens, MergeScratch& scratch)
      : table_(table), tokens_(tokens), merged_(scratch.merged), window_(scratch.window) {}

  bool run() {
    merged_.clear();
    window_.clear();
    for (size_t at = 0; at < tokens_.size(); at = end_) {
      size_t kept = keep(merged_.size(), at);
      while (!merge_window(kept, at)) {
        kept = keep(kept, at);
        if (at - begin_of(kept, at) > kMostOverlap) return false;
      }
      merged_.resize(kept);
      merged_.insert(merged_.end(), window_.begin(), window_.end());
    }
    return true;
  }

 private:
  static constexpr size_t kOverlap = 3;                       // tokens of before
  static constexpr size_t kMostOverlap = Window::kMost - 24;  // of the word's, in a window

  size_t begin_of(size_t index, size_t after) const {
    return index < merged_.size() ? static_cast<size_t>(merged_[index].begin) : after;
  }

  /// How many merged tokens stay before the next window: up to kOverlap less.
  size_t keep(size_t kept, size_t at) const {
    for (size_t i = 0; i < kOverlap && kept > 0 && (i == 0 || at - begin_of(kept - 1, at) <= kMostOverlap); ++i) --kept;
    return kept;
  }

  /// Whether the window that begins with merged token `kept` is not too large, and has that token as its first.
  bool merge_window(size_t kept, size_t at) {
    const size_t begin = begin_of(kept, at);
    if (at - begin > kMostOverlap) return false;
    const size_t end = std::min(begin + Window::kMost, tokens_.size());
    const auto now = tokens_.subspan(begin, end - begin);
    // Long words are often runs of one character: then this window is as the one before.
    if (!window_.empty() && std::ranges::equal(now, tokens_.subspan(begin_, end_ - begin_))) {
      for (Merged& token : window_) token.begin += static_cast<int32_t>(begin - begin_);
    } else {
      window_.clear();
      Window::merge(table_, now, begin, window_);
    }
    begin_ = begin;
    end_ = end;
    const size_t end_of_first = window_.size() > 1 ? static_cast<size_t>(window_[1].begin) : end;
    return kept == 0 || (window_[0].token == merged_[kept].token && end_of_first == begin_of(kept + 1, at));
  }

  const MergeTable& table_;
  std::span<const int32_t> tokens_;
  std::vector<Merged>&merged_, &window_;  ///< window_: what begin_ to end_ become
  size_t begin_ = 0, end_ = 0;
};

}  // namespace

void merge_all(const MergeTable& table, std::vector<int32_t>& tokens, MergeScratch& scratch) {
  if (tokens.empty()) return;
  if (!WindowMerger(table, tokens, scratch).run()) return HeapMerger(table, scratch).run(tokens);
  const std::vector<Merged>& merged = scratch.merged;
  std::transform(merged.begin(), merged.end(), tokens.begin(), [](const Merged& token) { return token.token; });
  tokens.resize(merged.size());
}

}  // namespace switchyard
