#include "tokens/merge_windows.h"

#include <algorithm>
#include <bit>

namespace switchyard {
namespace {

constexpr size_t kOverlap = 3;                            // tokens of before in a window
constexpr size_t kMostOverlap = MergeWindow::kMost - 24;  // of the word's tokens, in a window
constexpr size_t kLeastPart = 4 * MergeWindow::kMost;     // that is worth a lane

/// The next window of each lane that is not done. False if one has come to tokens that are too long for windows.
bool merge_next_windows(const MergeTable& table, std::span<MergeLane> lanes) {
  for (MergeLane& lane : lanes)
    if (!lane.done() && !lane.begin_window(table)) return false;
  for (bool merging = true; merging;) {
    merging = false;
    for (MergeLane& lane : lanes) merging |= !lane.done() && lane.step(table);
    for (MergeLane& lane : lanes) lane.find_least();
  }
  for (MergeLane& lane : lanes)
    if (!lane.done()) lane.end_window();
  return true;
}

}  // namespace

void MergeWindow::begin(const MergeTable& table, std::span<const int32_t> tokens) {
  const auto size = static_cast<uint32_t>(tokens.size());
  std::ranges::copy(tokens, tokens_);
  begins_ = ~uint64_t{0} >> (kMost - size);
  std::fill(keys_ + size - 1, keys_ + kMost, Merge::kNoRank);
  for (uint32_t at = 0; at + 1 < size; ++at)
    keys_[at] = key_of_pair(table.find_first(tokens_[at], tokens_[at + 1]), at);
  find_least();
}

void MergeWindow::append_to(std::vector<MergedToken>& out, size_t begin) const {
  for (uint64_t left = begins_; left != 0; left &= left - 1) {
    const int at = std::countr_zero(left);
    out.push_back({tokens_[at], static_cast<int32_t>(begin) + at});
  }
}

void MergeLane::start(std::span<const int32_t> word, size_t begin, size_t end) {
  word_ = word;
  at_ = begin;
  end_ = end;
  kept_ = 0;
  merged_.clear();
  result_.clear();
}

bool MergeLane::begin_window(const MergeTable& table) {
  const size_t begin = begin_of(kept_), end = std::min(begin + MergeWindow::kMost, word_.size());
  if (at_ - begin > kMostOverlap) return false;
  const auto now = word_.subspan(begin, end - begin);
  // Long words are often runs of one character: then this window is as the one before.
  window_is_new_ =
      result_.empty() || !std::ranges::equal(now, word_.subspan(window_begin_, window_end_ - window_begin_));
  if (window_is_new_)
    window_.begin(table, now);
  else
    for (MergedToken& token : result_) token.begin += static_cast<int32_t>(begin - window_begin_);
  window_begin_ = begin;
  window_end_ = end;
  return true;
}

void MergeLane::end_window() {
  if (window_is_new_) {
    result_.clear();
    window_.append_to(result_, window_begin_);
  }
  new_ = merged_.size();
  const size_t end_of_first = result_.size() > 1 ? static_cast<size_t>(result_[1].begin) : window_end_;
  if (kept_ == 0 || (result_[0].token == merged_[kept_].token && end_of_first == begin_of(kept_ + 1))) {
    new_ = kept_;
    merged_.resize(new_);
    merged_.insert(merged_.end(), result_.begin(), result_.end());
    at_ = window_end_;
    kept_ = merged_.size();
  }
  go_back();
}

/// So that the next window begins with up to kOverlap more of the merged tokens.
void MergeLane::go_back() {
  for (size_t i = 0; i < kOverlap && kept_ > 0 && (i == 0 || at_ - begin_of(kept_ - 1) <= kMostOverlap); ++i) --kept_;
}

bool MergeLane::join(const MergeLane& next) {
  const auto from = [](auto begin, const std::vector<MergedToken>& tokens, int32_t place) {
    return std::ranges::lower_bound(begin, tokens.end(), place, {}, &MergedToken::begin);
  };
  auto here = from(merged_.begin() + static_cast<ptrdiff_t>(new_), merged_, next.merged_[0].begin);
  if (here == merged_.end()) return false;
  auto there = from(next.merged_.begin(), next.merged_, here->begin);
  while (here != merged_.end() && there != next.merged_.end() && *here != *there)
    if (here->begin < there->begin)
      ++here;
    else
      ++there;
  if (here == merged_.end() || there == next.merged_.end()) return false;
  new_ = static_cast<size_t>(here - merged_.begin());
  merged_.erase(here, merged_.end());
  merged_.insert(merged_.end(), there, next.merged_.end());
  at_ = next.at_;
  kept_ = merged_.size();
  go_back();
  return true;
}

bool merge_in_windows(const MergeTable& table, std::vector<int32_t>& tokens, WindowScratch& lanes) {
  const size_t parts = std::clamp<size_t>(tokens.size() / kLeastPart, 1, lanes.size());
  for (size_t i = 0; i < parts; ++i) lanes[i].start(tokens, tokens.size() * i / parts, tokens.size() * (i + 1) / parts);
  const auto used = std::span(lanes).first(parts);
  while (!std::ranges::all_of(used, &MergeLane::done))
    if (!merge_next_windows(table, used)) return false;

  MergeLane& whole = used[0];
  for (const MergeLane& next : used.subspan(1)) {
    whole.extend(next.end());
    while (!whole.join(next) && !whole.done())
      if (!merge_next_windows(table, used.first(1))) return false;
  }
  const std::vector<MergedToken>& merged = whole.merged();
  std::ranges::transform(merged, tokens.begin(), &MergedToken::token);
  tokens.resize(merged.size());
  return true;
}

}  // namespace switchyard
