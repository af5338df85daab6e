#include "jobs/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace switchyard {
namespace {

std::vector<double> sorted(std::span<const double> values) {
  std::vector<double> copy(values.begin(), values.end());
  std::ranges::sort(copy);
  return copy;
}

}  // namespace

double median(std::span<const double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> all = sorted(values);
  const size_t middle = all.size() / 2;
  return all.size() % 2 == 1 ? all[middle] : (all[middle - 1] + all[middle]) / 2;
}

// The k-th least and the k-th largest enclose the median unless fewer than k of n values lie on one side of it, each
// with even odds.
std::optional<Range> median_interval(std::span<const double> values) {
  constexpr double kOutside = 0.05;
  const auto n = static_cast<double>(values.size());
  double log_term = -n * std::numbers::ln2, below = 0;  // of exactly k values, as a logarithm, and of fewer
  size_t k = 0;
  for (; 2 * (below + std::exp(log_term)) <= kOutside; ++k) {
    below += std::exp(log_term);
    log_term += std::log((n - static_cast<double>(k)) / static_cast<double>(k + 1));
  }
  if (k == 0) return std::nullopt;
  const std::vector<double> all = sorted(values);
  return Range{all[k - 1], all[all.size() - k]};
}

std::vector<size_t> pareto_front(std::span<const double> first, std::span<const double> second) {
  SWITCHYARD_CHECK(first.size() == second.size(), "{} and {} costs", first.size(), second.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < first.size(); ++i)
    if (std::isfinite(first[i]) && std::isfinite(second[i])) order.push_back(i);
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(first[i], second[i]); });
  std::vector<size_t> front;
  for (const size_t i : order)
    if (front.empty() || second[i] < second[front.back()]) front.push_back(i);
  return front;
}

}  // namespace switchyard
