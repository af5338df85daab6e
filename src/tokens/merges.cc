#include "tokens/merges.h"

#include <algorithm>
#include <functional>

namespace switchyard {
namespace {

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

void merge_all(const MergeTable& table, std::vector<int32_t>& tokens, MergeScratch& scratch) {
  if (tokens.empty()) return;
  if (!merge_in_windows(table, tokens, scratch.windows)) HeapMerger(table, scratch).run(tokens);
}

}  // namespace switchyard
