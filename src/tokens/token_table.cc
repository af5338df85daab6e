#include "tokens/token_table.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace switchyard {

bool TokenTable::add(std::string_view text, int32_t id) {
  if (has(id)) return false;
  const uint64_t hash = XXH3_64bits(text.data(), text.size());
  const Slot& found = slot_of(hash, text);
  if (found.id != kNone) return false;
  if (texts_.size() + text.size() >= kNoPlace) fail(ExitCode::input, "tokens of more than 4 GiB in all");
  slots_[static_cast<size_t>(&found - slots_.data())] = {hash, id};
  if (id >= end_id()) places_.resize(static_cast<size_t>(id) + 1);
  places_[static_cast<size_t>(id)] = {static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())};
  texts_ += text;
  longest_ = std::max(longest_, text.size());
  if (++size_ * 2 > slots_.size()) grow();
  return true;
}

int32_t TokenTable::find(std::string_view text) const {
  return slot_of(XXH3_64bits(text.data(), text.size()), text).id;
}

/// Its slot, or the free one that it would take.
const TokenTable::Slot& TokenTable::slot_of(uint64_t hash, std::string_view text) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.id == kNone || (slot.hash == hash && this->text(slot.id) == text)) return slot;
  }
}

void TokenTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id == kNone) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].id != kNone) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

}  // namespace switchyard
