#include "tokens/merge_table.h"

namespace switchyard {

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  if (are_small(left, right)) small_[small_place(left, right)] = packed(merge);
  put(key_of(left, right), ~packed(merge));
  if (size_ * 2 <= lines_.size() * kSlots) return;
  std::vector<Line> old(lines_.size() * 2);
  old.swap(lines_);
  filter_.assign(filter_.size() * 2, 0);
  --shift_;
  size_ = 0;
  for (const Line& line : old)
    for (size_t i = 0; i < kSlots; ++i)
      if (line.keys[i] != kFree) put(line.keys[i], line.merges[i]);
}

/// Into the first free slot of its line, or behind.
void MergeTable::put(uint64_t key, uint64_t merge) {
  const Place place = place_of(key);
  filter_[place.filter] |= uint64_t{1} << place.first_bit | uint64_t{1} << place.second_bit;
  for (size_t at = place.line;; at = (at + 1) & (lines_.size() - 1))
    for (size_t i = 0; i < kSlots; ++i) {
      Line& line = lines_[at];
      if (line.keys[i] != key && line.keys[i] != kFree) continue;
      if (line.keys[i] == kFree) ++size_;
      line.keys[i] = key;
      line.merges[i] = merge;
      return;
    }
}

uint64_t MergeTable::find_behind(uint64_t key) const {
  for (size_t at = place_of(key).line;; at = (at + 1) & (lines_.size() - 1))
    for (size_t i = 0; i < kSlots; ++i) {
      if (lines_[at].keys[i] == key) return lines_[at].merges[i];
      if (lines_[at].keys[i] == kFree) return 0;
    }
}

}  // namespace switchyard
