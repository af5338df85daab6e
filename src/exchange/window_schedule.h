// In which order the rows of a layer's experts come to their hosts, when not all fit there at once: window by window,
// each of whole experts, or of some slices of an expert that has too many rows. All ranks compute the same schedule
// from the same counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/slice_tree.h"
#include "exchange/placement.h"

namespace switchyard {

inline SliceRange intersection(const SliceRange& a, const SliceRange& b) {
  const int64_t first = std::max(a.first, b.first);
  return {first, std::max(first, std::min(a.end, b.end))};
}

/// How many rows each expert has of each slice, as sums along the slices.
struct ExpertRows {
  SliceRange slices;                ///< all there are
  std::span<const int32_t> before;  ///< [experts, slices.count() + 1] rows of the slices before each, and of all

  /// Rows of the expert in slices that are some of these.
  int64_t of(int expert, const SliceRange& some) const { return at(expert, some.end) - at(expert, some.first); }
  int64_t of(int expert) const { return of(expert, slices); }

 private:
  int64_t at(int expert, int64_t slice) const {
    return before[static_cast<size_t>(expert * (slices.count() + 1) + slice - slices.first)];
  }
};

/// What a host gets in a window: experts as a whole, or a part of one.
struct WindowPart {
  int first = 0, end = 0;  ///< its experts by local index; none: it idles
  SliceRange slices;       ///< all; or some, of one expert whose rows are more than a window's

  int num_experts() const { return end - first; }
};

class WindowSchedule {
 public:
  /// slices_of_rank: [ranks] whose rows the slices are; it and the rows' list outlive this. max_rows: that a host
  /// receives in a window, its own included, and that a rank sends, at most. No fewer than an expert has of any one
  /// slice.
  WindowSchedule(const ExpertPlacement& placement, std::span<const SliceRange> slices_of_rank, const ExpertRows& rows,
                 int64_t max_rows);

  /// Goes to the next window, the first one at first; false when all experts' slices have been in one. Without slices
  /// there is no window; otherwise experts without rows are in one, too.
  bool next();
  const WindowPart& part(int host) const { return parts_[static_cast<size_t>(host)]; }

  static size_t host_bytes(int num_ranks);

 private:
  struct Place {
    int expert = 0;  // by local index
    int64_t slice = 0;
  };

  WindowPart choose(int host);
  WindowPart whole_experts(int host);
  WindowPart some_slices(int host);
  bool take(int host, int expert, const SliceRange& slices, int64_t& received);

  const ExpertPlacement placement_;
  const std::span<const SliceRange> slices_of_rank_;
  const ExpertRows rows_;
  const int64_t max_rows_;
  std::vector<Place> next_;        // [hosts] where each goes on
  std::vector<WindowPart> parts_;  // [hosts]
  std::vector<int64_t> room_;      // [ranks] rows that each may still send in this window
  int favoured_ = 0;               // the host that chooses first
};

}  // namespace switchyard
