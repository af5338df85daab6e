#include "tokens/merge_table.h"

namespace switchyard {

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  if (tokens_.size() <= merge.rank) tokens_.resize(merge.rank + 1, -1);
  tokens_[merge.rank] = merge.token;
  const uint32_t first = static_cast<uint32_t>(merge.token) - merge.rank;
  if (size_ == 0) first_token_ = first;
  in_order_ = in_order_ && first == first_token_;

  if (are_small(left, right)) small_[small_place(left, right)] = merge.rank;
  put(key_of(left, right) << kRankBits | merge.rank);
  if (size_ * 2 <= slots_.size()) return;
  std::vector<uint64_t> old(slots_.size() * 2, kFree);
  old.swap(slots_);
  filter_.assign(filter_.size() * 2, 0);
  --shift_;
  size_ = 0;
  for (const uint64_t slot : old)
    if (slot != kFree) put(slot);
}

void MergeTable::put(uint64_t slot) {
  const uint64_t key = slot >> kRankBits, place = place_of(key);
  filter_[place / 64] |= uint64_t{1} << (place % 64);
  uint64_t& there = slots_[slot_of(key)];
  if (there == kFree) ++size_;
  there = slot;
}

/// Its slot, or the free one that it would take: where its hash says, beside that, or behind.
size_t MergeTable::slot_of(uint64_t key) const {
  const auto is_it = [&](size_t at) { return slots_[at] == kFree || slots_[at] >> kRankBits == key; };
  size_t at = place_of(key) >> kFilterBits;
  if (is_it(at)) return at;
  if (is_it(at ^ 1)) return at ^ 1;
  for (at |= 1; !is_it(at);) at = (at + 1) & (slots_.size() - 1);
  return at;
}

}  // namespace switchyard
