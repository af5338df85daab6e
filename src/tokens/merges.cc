#include "tokens/merges.h"

#include <algorithm>
#include <functional>

namespace switchyard {
namespace {

/// Up to here it is faster to look all pairs over than to keep them in a heap.
constexpr size_t kMostInArray = 48;

void merge_in_array(const MergeTable& table, std::vector<int32_t>& tokens, std::vector<Merge>& merges) {
  size_t size = tokens.size();
  merges.resize(size);
  for (size_t i = 0; i + 1 < size; ++i) merges[i] = table.find(tokens[i], tokens[i + 1]);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == Merge::kNoRank) break;
    tokens[best] = merges[best].token;
    --size;
    for (size_t i = best + 1; i < size; ++i) {
      tokens[i] = tokens[i + 1];
      merges[i - 1] = merges[i];
    }
    if (best > 0) merges[best - 1] = table.find(tokens[best - 1], tokens[best]);
    if (best + 1 < size) merges[best] = table.find(tokens[best], tokens[best + 1]);
  }
  tokens.resize(size);
}

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

void merge_all(const MergeTable& table, std::vector<int32_t>& tokens, MergeScratch& scratch) {
  if (tokens.size() <= kMostInArray) return merge_in_array(table, tokens, scratch.merges);
  HeapMerger(table, scratch).run(tokens);
}

}  // namespace switchyard
