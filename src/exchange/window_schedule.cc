#include "exchange/window_schedule.h"

#include "base/error.h"

namespace switchyard {

WindowSchedule::WindowSchedule(const ExpertPlacement& placement, std::span<const SliceRange> slices_of_rank,
                               const ExpertRows& rows, int64_t max_rows)
    : placement_(placement),
      slices_of_rank_(slices_of_rank),
      rows_(rows),
      max_rows_(max_rows),
      next_(static_cast<size_t>(placement.num_ranks()), Place{0, rows.slices.first}),
      parts_(next_.size()),
      room_(next_.size()) {}

bool WindowSchedule::next() {
  const int num_hosts = placement_.num_ranks();
  const auto is_done = [&](int host) { return next_[static_cast<size_t>(host)].expert == placement_.count(host); };
  bool all_done = true;
  for (int host = 0; host < num_hosts; ++host) all_done &= is_done(host);
  if (all_done || rows_.slices.count() == 0) return false;

  // Each host takes what the ones before it have left of the senders' room. So that none is always the last, each is
  // the first in turn; the first that has something left gets some of it.
  std::ranges::fill(room_, max_rows_);
  bool any = false;
  for (int i = 0; i < num_hosts; ++i) {
    const int host = (favoured_ + i) % num_hosts;
    parts_[static_cast<size_t>(host)] = is_done(host) ? WindowPart{0, 0, rows_.slices} : choose(host);
    any |= parts_[static_cast<size_t>(host)].num_experts() > 0;
  }
  favoured_ = (favoured_ + 1) % num_hosts;
  SWITCHYARD_CHECK(any, "no slice of an expert fits into a window of {} rows", max_rows_);
  return true;
}

WindowPart WindowSchedule::choose(int host) {
  const int expert = placement_.experts_of(host)[static_cast<size_t>(next_[static_cast<size_t>(host)].expert)];
  return rows_.of(expert) > max_rows_ ? some_slices(host) : whole_experts(host);
}

WindowPart WindowSchedule::whole_experts(int host) {
  int& expert = next_[static_cast<size_t>(host)].expert;
  WindowPart part{expert, expert, rows_.slices};
  const std::span<const int> experts = placement_.experts_of(host);
  int64_t received = 0;
  while (part.end < std::ssize(experts) && take(host, experts[static_cast<size_t>(part.end)], rows_.slices, received))
    ++part.end;
  expert = part.end;
  return part;
}

WindowPart WindowSchedule::some_slices(int host) {
  Place& at = next_[static_cast<size_t>(host)];
  WindowPart part{at.expert, at.expert, {at.slice, at.slice}};
  const int expert = placement_.experts_of(host)[static_cast<size_t>(at.expert)];
  int64_t received = 0;
  while (at.slice < rows_.slices.end && take(host, expert, {at.slice, at.slice + 1}, received)) ++at.slice;
  if (at.slice == part.slices.first) return {0, 0, rows_.slices};
  part.end = at.expert + 1;
  part.slices.end = at.slice;
  if (at.slice == rows_.slices.end) at = {at.expert + 1, rows_.slices.first};
  return part;
}

/// Whether so many rows may come to the host too; then they will.
bool WindowSchedule::take(int host, int expert, const SliceRange& slices, int64_t& received) {
  const int64_t more = rows_.of(expert, slices);
  if (received + more > max_rows_) return false;
  const auto sent_by = [&](size_t source) {
    if (source == static_cast<size_t>(host)) return int64_t{0};
    return rows_.of(expert, intersection(slices, slices_of_rank_[source]));
  };
  for (size_t source = 0; source < room_.size(); ++source)
    if (sent_by(source) > room_[source]) return false;
  for (size_t source = 0; source < room_.size(); ++source) room_[source] -= sent_by(source);
  received += more;
  return true;
}

size_t WindowSchedule::host_bytes(int num_ranks) {
  return static_cast<size_t>(num_ranks) * (sizeof(Place) + sizeof(WindowPart) + sizeof(int64_t));
}

}  // namespace switchyard
