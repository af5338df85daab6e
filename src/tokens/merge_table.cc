#include "tokens/merge_table.h"

namespace switchyard {

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  if (are_small(left, right)) small_[small_place(left, right)] = packed(merge);
  put(key_of(left, right), packed(merge));
  if (size_ * 2 <= slots_.size()) return;
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  filter_.assign(filter_.size() * 2, 0);
  --shift_;
  size_ = 0;
  for (const Slot& slot : old)
    if (slot.key != kFree) put(slot.key, slot.merge);
}

void MergeTable::put(uint64_t key, uint64_t merge) {
  const uint64_t place = place_of(key);
  filter_[place / 64] |= uint64_t{1} << (place % 64);
  Slot& slot = slots_[slot_of(key)];
  if (slot.key == kFree) ++size_;
  slot = {key, merge};
}

/// Its slot, or the free one that it would take: where its hash says, beside that, or behind.
size_t MergeTable::slot_of(uint64_t key) const {
  const auto is_it = [&](size_t at) { return slots_[at].key == key || slots_[at].key == kFree; };
  size_t at = place_of(key) >> kFilterBits;
  if (is_it(at)) return at;
  if (is_it(at ^ 1)) return at ^ 1;
  for (at |= 1; !is_it(at);) at = (at + 1) & (slots_.size() - 1);
  return at;
}

}  // namespace switchyard
