// Counts of values by size, collected while a job runs: bounded memory, and ranks add theirs up.
#pragma once

#include <cstdint>
#include <vector>

#include "report/axis.h"

namespace switchyard::report {

class Bins {
 public:
  /// `num` bins of one width over [low, high).
  static Bins linear(double low, double high, int num) { return {Spacing::linear, low, high, num}; }
  /// `num` bins of one ratio over [low, high), 0 < low.
  static Bins logarithmic(double low, double high, int num) { return {Spacing::logarithmic, low, high, num}; }

  void add(double value, int64_t times = 1);

  Spacing spacing() const { return spacing_; }
  int64_t size() const { return std::ssize(counts_) - kOutside; }
  int64_t count(int64_t bin) const { return counts_[static_cast<size_t>(bin)]; }
  /// Lower bound of a bin; of size() the upper bound of the last.
  double edge(int64_t bin) const;
  int64_t below() const { return counts_[counts_.size() - 3]; }
  int64_t above() const { return counts_[counts_.size() - 2]; }  ///< at `high` or beyond
  int64_t not_finite() const { return counts_[counts_.size() - 1]; }
  /// All that were added but those not finite.
  int64_t total() const;
  /// The one below whose upper edge half of the values lie; -1 where these lie below all bins, size() where above.
  int64_t median_bin() const;

  /// [size() + 3]: the bins, then below, above, not finite. What ranks sum.
  std::vector<int64_t>& counts() { return counts_; }

 private:
  static constexpr int64_t kOutside = 3;
  Bins(Spacing spacing, double low, double high, int num);

  Spacing spacing_;
  double low_, high_;
  std::vector<int64_t> counts_;
};

}  // namespace switchyard::report
