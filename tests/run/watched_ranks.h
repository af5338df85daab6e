// Ranks of one attempt, each a Pulse and a Watchdog; what they wait for is told to the pulse by hand.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "run/watchdog.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {

class WatchedRanks {
 protected:
  static constexpr int kWorld = 0;
  struct Rank {
    Pulse pulse;
    std::promise<std::string> verdict;
    std::atomic<bool> reported{false};
    std::unique_ptr<Watchdog> watchdog;
  };

  /// by_hand: the pulses have a world of these ranks; otherwise communicators are to come.
  std::vector<std::unique_ptr<Rank>> start(int count, std::chrono::milliseconds timeout, int patience = 10,
                                           bool by_hand = true) {
    std::vector<std::unique_ptr<Rank>> ranks;
    for (int r = 0; r < count; ++r) {
      Rank& rank = *ranks.emplace_back(std::make_unique<Rank>());
      std::vector<int> all(static_cast<size_t>(count));
      std::iota(all.begin(), all.end(), 0);
      if (by_hand) rank.pulse.add_communicator("world", all);
      rank.pulse.phase("scoring");
      rank.watchdog = std::make_unique<Watchdog>(
          rank.pulse, Watchdog::Options{.directory = hang_directory(),
                                        .rank = r,
                                        .hosts = std::vector<std::string>(static_cast<size_t>(count), "n1"),
                                        .timeout = timeout,
                                        .patience = patience,
                                        .end = [&rank](const std::string& verdict, bool reporter) {
                                          rank.reported = reporter;
                                          rank.verdict.set_value(verdict);
                                        }});
    }
    return ranks;
  }
  static void wait_in_world(Rank& rank) {
    rank.pulse.arrive(kWorld);
    rank.pulse.wait(kWorld);
  }
  /// Of a rank; empty if there is none in time.
  static std::optional<std::string> verdict_of(Rank& rank, std::chrono::milliseconds time) {
    auto verdict = rank.verdict.get_future();
    if (verdict.wait_for(time) != std::future_status::ready) return std::nullopt;
    return verdict.get();
  }
  std::filesystem::path hang_directory() const { return hang_ / "hang"; }

 private:
  TemporaryDirectory hang_{memory_directory()};
};

}  // namespace switchyard::test
