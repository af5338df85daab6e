// How several streams become one by weights.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

/// Weights become parts of a whole: integers whose sum is the smallest up to a million for which all of them are exact
/// (70, 20 and 10 are 7, 2 and 1 of 10), else a million. After so many turns all begins again; at every turn each
/// stream has had within one of what its parts are due, for of those that are behind, the one whose next turn is due
/// first has it (Tijdeman, The chairman assignment problem, 1980; who always takes the one that is furthest behind can
/// be off by more).
class Mixture {
 public:
  static constexpr int64_t kMaxParts = 1'000'000, kMaxStreams = 256;

  /// weights: finite and positive. A part is at least one. Fails (usage) on more than kMaxStreams.
  explicit Mixture(std::span<const double> weights);

  /// Whose turn it is, and how many it had before.
  struct Turn {
    int64_t stream = 0, index = 0;
    bool operator==(const Turn&) const = default;
  };
  Turn turn(int64_t position) const;  ///< of the endless sequence, from 0

  const std::vector<int64_t>& parts() const { return parts_; }
  int64_t period() const { return static_cast<int64_t>(turns_.size()); }

 private:
  struct StoredTurn {
    int32_t stream, index;
  };
  std::vector<int64_t> parts_;
  std::vector<StoredTurn> turns_;  ///< of one period
};

}  // namespace switchyard
