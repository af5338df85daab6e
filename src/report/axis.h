// Where values lie on an axis, and which of them are written at it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

enum class Spacing { linear, logarithmic };

struct Axis {
  struct Tick {
    double value;
    std::string label;
  };
  double low = 0, high = 1;
  Spacing spacing = Spacing::linear;
  std::vector<Tick> ticks = {};  ///< ascending, within [low, high]

  /// 0 at low, 1 at high.
  double at(double value) const;
};

/// From `low` to `high`, both finite, with at most about `most` ticks at round values.
Axis linear_axis(double low, double high, Unit unit, int most);
/// The same, widened to the ticks before and behind.
Axis rounded_axis(double low, double high, Unit unit, int most);
/// 0 < low < high: ticks at powers of ten, or at 1, 2 and 5 of them where these are few, or as
/// on a linear axis.
Axis logarithmic_axis(double low, double high, Unit unit, int most);
/// `cells` side by side, each `step` things of which the first cell's is number `first`: a tick in the middle of every
/// 1st, 2nd, 4th, 8th … cell.
Axis index_axis(int64_t first, int64_t cells, int64_t step, int most);

}  // namespace switchyard::report
