#include "train/selection/exact_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <tuple>

#include "base/error.h"
#include "base/rng.h"
#include "comm/communicator.h"

namespace switchyard::test {
namespace {

/// Runs of units with keys, dealt to ranks in turn.
struct ChoiceCase {
  std::vector<UnitRun> runs;
  std::vector<std::vector<uint32_t>> keys;
  int64_t total = 0;

  /// key(i): of the i-th unit.
  template <class Key>
  ChoiceCase(int64_t num_runs, bool weighted, const Key& key) {
    uint64_t index = 0;
    for (int64_t r = 0; r < num_runs; ++r) {
      const auto units = static_cast<int64_t>(random_bits(1, static_cast<uint64_t>(r)) % 60);
      const int64_t weight = weighted ? 1 + static_cast<int64_t>(random_bits(2, static_cast<uint64_t>(r)) % 9) : 1;
      runs.push_back({units, weight});
      total += units * weight;
      keys.emplace_back();
      for (int64_t u = 0; u < units; ++u) keys.back().push_back(key(index++));
    }
  }

  using Unit = std::pair<int64_t, int64_t>;  ///< run, unit
  /// By sorting all.
  std::vector<Unit> sorted(int64_t most) const {
    std::vector<std::tuple<int64_t, int64_t, int64_t>> all;
    for (size_t r = 0; r < keys.size(); ++r)
      for (size_t u = 0; u < keys[r].size(); ++u)
        all.emplace_back(-static_cast<int64_t>(keys[r][u]), static_cast<int64_t>(r), static_cast<int64_t>(u));
    std::ranges::sort(all);
    std::vector<Unit> chosen;
    int64_t weight = 0;
    for (const auto& [key, run, unit] : all) {
      weight += runs[static_cast<size_t>(run)].weight;
      if (weight > most) break;
      chosen.emplace_back(run, unit);
    }
    std::ranges::sort(chosen);
    return chosen;
  }

  /// On so many ranks.
  std::vector<Unit> chosen(int ranks, int64_t most) const {
    std::vector<Unit> units;
    run_thread_ranks(ranks, [&](Communicator& world) {
      const ExactChoice choice = choose_largest(world, runs, most, [&](const auto& visit) {
        for (size_t r = static_cast<size_t>(world.rank()); r < keys.size(); r += static_cast<size_t>(ranks)) {
          const std::span<const uint32_t> all = keys[r];  // in two pieces
          visit(static_cast<int64_t>(r), all.first(all.size() / 3));
          visit(static_cast<int64_t>(r), all.subspan(all.size() / 3));
        }
      });
      if (world.rank() != 0) return;
      int64_t weight = 0;
      for (size_t r = 0; r < keys.size(); ++r) {
        int64_t ties = 0;
        for (size_t u = 0; u < keys[r].size(); ++u) {
          if (keys[r][u] < choice.threshold) continue;
          if (keys[r][u] == choice.threshold && ties++ >= choice.ties[r]) continue;
          units.emplace_back(static_cast<int64_t>(r), static_cast<int64_t>(u));
          weight += runs[r].weight;
        }
      }
      EXPECT_EQ(choice.weight, weight);
    });
    return units;
  }
};

uint32_t spread(uint64_t i) {
  return static_cast<uint32_t>(random_bits(5, i));
}
/// As scores are.
uint32_t positive_float(uint64_t i) {
  return std::bit_cast<uint32_t>(std::abs(random_normal(6, i)) * 1e-6f);
}
uint32_t few_values(uint64_t i) {
  return std::bit_cast<uint32_t>(static_cast<float>(random_bits(7, i) % 4));
}
uint32_t one_value(uint64_t) {
  return 17;
}
uint32_t low_bits(uint64_t i) {
  return 0xfffffc00u + static_cast<uint32_t>(random_bits(8, i) % 1024);
}

TEST(ExactChoice, IsThatOfAFullSort) {
  for (const bool weighted : {false, true})
    for (const auto key : {spread, positive_float, few_values, one_value, low_bits}) {
      const ChoiceCase c(23, weighted, key);
      for (const int64_t most :
           {int64_t{0}, int64_t{1}, c.total / 10, c.total / 2, c.total - 1, c.total, 2 * c.total}) {
        const auto want = c.sorted(most);
        for (const int ranks : {1, 2, 3, 4})
          ASSERT_EQ(c.chosen(ranks, most), want) << most << ", " << ranks << " ranks";
      }
    }
}

TEST(ExactChoice, OfWholesIsExact) {
  const ChoiceCase c(40, false, few_values);
  for (int64_t most = 0; most <= c.total; most += 37) EXPECT_EQ(std::ssize(c.chosen(3, most)), most);
}

TEST(ExactChoice, WhatOneRankThrowsAllThrow) {
  run_thread_ranks(3, [](Communicator& world) {
    const std::vector<UnitRun> runs{{1, 1}};
    EXPECT_THROW(choose_largest(world, runs, 1,
                                [&](const auto&) {
                                  if (world.rank() == 2) fail(ExitCode::input, "no number");
                                }),
                 Error);
  });
}

}  // namespace
}  // namespace switchyard::test
