#include "report/bins.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace switchyard::report {

Bins::Bins(Spacing spacing, double low, double high, int num)
    : spacing_(spacing), low_(low), high_(high), counts_(static_cast<size_t>(num + kOutside)) {
  SWITCHYARD_CHECK(num > 0 && low < high && std::isfinite(low) && std::isfinite(high), "{} bins over [{}, {})", num,
                   low, high);
  SWITCHYARD_CHECK(spacing == Spacing::linear || low > 0, "logarithmic bins from {}", low);
}

void Bins::add(double value, int64_t times) {
  const auto num = size();
  int64_t bin = 0;
  if (!std::isfinite(value)) {
    bin = num + 2;
  } else if (value < low_) {
    bin = num;
  } else if (value >= high_) {
    bin = num + 1;
  } else {
    const double fraction = Axis{.low = low_, .high = high_, .spacing = spacing_}.at(value);
    bin = std::clamp<int64_t>(static_cast<int64_t>(fraction * static_cast<double>(num)), 0, num - 1);
    // The bounds decide, not how a logarithm is rounded.
    if (bin > 0 && value < edge(bin)) --bin;
    if (bin + 1 < num && value >= edge(bin + 1)) ++bin;
  }
  counts_[static_cast<size_t>(bin)] += times;
}

double Bins::edge(int64_t bin) const {
  if (bin == size()) return high_;
  const double fraction = static_cast<double>(bin) / static_cast<double>(size());
  return spacing_ == Spacing::linear ? low_ + (high_ - low_) * fraction : low_ * std::pow(high_ / low_, fraction);
}

int64_t Bins::total() const {
  return std::accumulate(counts_.begin(), counts_.end() - 1, int64_t{0});
}

int64_t Bins::median_bin() const {
  const int64_t all = total();
  int64_t seen = below();
  for (int64_t bin = 0; bin <= size(); ++bin) {
    if (2 * seen >= all) return bin - 1;
    if (bin < size()) seen += count(bin);
  }
  return size();
}

}  // namespace switchyard::report
