#include "exchange/window_schedule.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "tests/support/placements.h"

namespace switchyard::test {
namespace {

/// Rows of every expert and slice of a group, from the slices of all.
struct Counts {
  SliceRange slices;
  int num_experts;
  std::vector<int32_t> before;

  template <class CountOf>
  Counts(const SliceRange& range, int experts, const CountOf& count_of) : slices(range), num_experts(experts) {
    for (int expert = 0; expert < experts; ++expert) {
      before.push_back(0);
      for (int64_t slice = range.first; slice < range.end; ++slice)
        before.push_back(before.back() + static_cast<int32_t>(count_of(expert, slice)));
    }
  }
  ExpertRows rows() const { return {slices, before}; }
};

std::vector<SliceRange> shared_out(const SliceRange& slices, int ranks) {
  std::vector<SliceRange> shares;
  for (int r = 0; r < ranks; ++r)
    shares.push_back({slices.first + slices.count() * r / ranks, slices.first + slices.count() * (r + 1) / ranks});
  return shares;
}

/// Goes through all windows and checks what holds for each, and for all together; how many there were.
int64_t check_schedule(const ExpertPlacement& placement, const Counts& counts, int64_t max_rows) {
  const auto shares = shared_out(counts.slices, placement.num_ranks());
  const ExpertRows rows = counts.rows();
  WindowSchedule schedule(placement, shares, rows, max_rows);
  const auto num_slices = static_cast<size_t>(counts.slices.count());
  std::vector<int> seen(static_cast<size_t>(counts.num_experts) * num_slices);
  std::vector<std::pair<int, int64_t>> last(static_cast<size_t>(placement.num_ranks()), {0, counts.slices.first});
  int64_t num_windows = 0;
  while (schedule.next()) {
    ++num_windows;
    std::vector<int64_t> sent(shares.size());
    bool any = false;
    for (int host = 0; host < placement.num_ranks(); ++host) {
      const WindowPart& part = schedule.part(host);
      if (part.num_experts() == 0) continue;
      any = true;
      int64_t received = 0;
      for (int local = part.first; local < part.end; ++local) {
        const int expert = placement.experts_of(host)[static_cast<size_t>(local)];
        received += rows.of(expert, part.slices);
        for (size_t source = 0; source < shares.size(); ++source)
          if (source != static_cast<size_t>(host))
            sent[source] += rows.of(expert, intersection(part.slices, shares[source]));
        for (int64_t slice = part.slices.first; slice < part.slices.end; ++slice)
          ++seen[static_cast<size_t>(expert) * num_slices + static_cast<size_t>(slice - counts.slices.first)];
        const bool is_cut = rows.of(expert) > max_rows;
        EXPECT_EQ(is_cut, !(part.slices == counts.slices))
            << "expert " << expert << " of " << rows.of(expert) << " rows";
        if (is_cut) {
          EXPECT_EQ(part.num_experts(), 1);
        }
      }
      EXPECT_LE(received, max_rows) << "host " << host;
      auto& [expert, slice] = last[static_cast<size_t>(host)];
      EXPECT_EQ(part.first, expert);  // in order
      EXPECT_EQ(part.slices.first, slice);
      const bool goes_on = part.slices.end < counts.slices.end;
      expert = goes_on ? part.first : part.end;
      slice = goes_on ? part.slices.end : counts.slices.first;
    }
    EXPECT_TRUE(any);
    for (const int64_t count : sent) EXPECT_LE(count, max_rows);
  }
  for (const int times : seen) EXPECT_EQ(times, 1);
  EXPECT_FALSE(schedule.next());
  return num_windows;
}

/// In each window some host has all room. Two of these that follow each other are filled by more than a window's rows,
/// unless a cut expert begins or ends, or all is done.
int64_t most_windows(const ExpertPlacement& placement, const Counts& counts, int64_t max_rows) {
  int64_t most = 0;
  for (int host = 0; host < placement.num_ranks(); ++host) {
    int64_t rows = 0, cut = 0;
    for (const int expert : placement.experts_of(host)) {
      rows += counts.rows().of(expert);
      cut += counts.rows().of(expert) > max_rows ? 1 : 0;
    }
    most += 2 * rows / max_rows + 2 * cut + 2;
  }
  return most;
}

int64_t scattered_count(int expert, int64_t slice) {
  return static_cast<int64_t>(random_bits(static_cast<uint64_t>(expert), static_cast<uint64_t>(slice)) % 6);
}

TEST(WindowSchedule, CoversEverythingOnceInOrderWithinTheLimit) {
  for (const int ranks : {1, 2, 3, 4, 7})
    for (const auto& [name, place] : all_placements())
      for (const SliceRange slices : {SliceRange{0, 8}, SliceRange{4, 6}, SliceRange{8, 16}}) {
        SCOPED_TRACE(name + " on " + std::to_string(ranks));
        const ExpertPlacement placement = place(13, ranks);
        const Counts counts(slices, 13, scattered_count);
        for (const int64_t max_rows : {5, 6, 7, 10, 20, 50})
          EXPECT_LE(check_schedule(placement, counts, max_rows), most_windows(placement, counts, max_rows));
        EXPECT_EQ(check_schedule(placement, counts, 1000), 1);
      }
}

TEST(WindowSchedule, AllRowsOfOneExpertComeInParts) {
  for (const int ranks : {1, 2, 4}) {
    const Counts counts({0, 16}, 8, [](int expert, int64_t) { return expert == 5 ? 3 : 0; });
    // 48 rows, three or six or nine at a time; the experts beside it, without rows, need a window of their own
    EXPECT_EQ(check_schedule(ExpertPlacement::blocks(8, ranks), counts, 3), 16 + (ranks == 4 ? 1 : 2));
    EXPECT_GE(check_schedule(ExpertPlacement::blocks(8, ranks), counts, 9), 6);
    EXPECT_EQ(check_schedule(ExpertPlacement::blocks(8, ranks), counts, 48), 1);
  }
}

TEST(WindowSchedule, ExpertsWithoutRowsAreInTheFirstWindow) {
  const Counts counts({0, 4}, 6, [](int, int64_t) { return 0; });
  EXPECT_EQ(check_schedule(ExpertPlacement::blocks(6, 3), counts, 0), 1);
}

TEST(WindowSchedule, WithoutSlicesThereIsNoWindow) {
  const Counts counts({8, 8}, 6, [](int, int64_t) { return 0; });
  EXPECT_EQ(check_schedule(ExpertPlacement::blocks(6, 3), counts, 0), 0);
}

/// One rank has all tokens: what it may send is shared out, and every host gets its turn.
TEST(WindowSchedule, ASendersRoomGoesAroundAmongTheHosts) {
  const ExpertPlacement placement = ExpertPlacement::blocks(12, 3);
  const Counts counts({0, 1}, 12, [](int, int64_t) { return 4; });
  const std::vector<SliceRange> shares = {{0, 1}, {1, 1}, {1, 1}};
  WindowSchedule schedule(placement, shares, counts.rows(), 4);
  std::vector<std::vector<int>> busy;
  while (schedule.next()) {
    busy.emplace_back();
    for (int host = 0; host < 3; ++host)
      if (schedule.part(host).num_experts() > 0) busy.back().push_back(host);
  }
  // Its own rows need no room.
  const std::vector<std::vector<int>> expected = {{0, 1}, {0, 1}, {0, 2}, {0, 1}, {1}, {2}, {2}, {2}};
  EXPECT_EQ(busy, expected);
}

TEST(WindowSchedule, ASliceThatFitsNowhereIsAnInternalError) {
  const Counts counts({0, 2}, 1, [](int, int64_t) { return 3; });
  const std::vector<SliceRange> shares = {{0, 2}};
  WindowSchedule schedule(ExpertPlacement::blocks(1, 1), shares, counts.rows(), 2);
  EXPECT_THROW(schedule.next(), Error);
}

}  // namespace
}  // namespace switchyard::test
