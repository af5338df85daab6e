#include "report/thinned_line.h"

#include <cmath>

namespace switchyard::report {

static_assert(ThinnedLine::kMostPoints % 2 == 0, "neighbours become one in pairs");

void ThinnedLine::add(double x, double value) {
  if (!std::isfinite(x) || !std::isfinite(value)) {
    ++not_finite_;
    return;
  }
  if (sums_.empty() || sums_.back().num == merged_) {
    if (sums_.size() == kMostPoints) {
      for (size_t i = 0; i < kMostPoints / 2; ++i) {
        const Sum &a = sums_[2 * i], &b = sums_[2 * i + 1];
        sums_[i] = {a.x + b.x, a.value + b.value, a.num + b.num};
      }
      sums_.resize(kMostPoints / 2);
      merged_ *= 2;
    }
    sums_.emplace_back();
  }
  Sum& sum = sums_.back();
  sum.x += x;
  sum.value += value;
  ++sum.num;
}

std::vector<ThinnedLine::Point> ThinnedLine::points() const {
  std::vector<Point> points;
  for (const Sum& sum : sums_)
    points.push_back({sum.x / static_cast<double>(sum.num), sum.value / static_cast<double>(sum.num)});
  return points;
}

}  // namespace switchyard::report
