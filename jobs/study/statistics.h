// What few repeated measurements say.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace switchyard {

/// NaN where there are none.
double median(std::span<const double> values);

struct Range {
  double low, high;
};

/// A distribution-free interval that has the median with at least 95 %: between two order statistics (Conover,
/// Practical Nonparametric Statistics, 3.2). Nothing below six values: no two of them enclose it so surely.
std::optional<Range> median_interval(std::span<const double> values);

/// Of points with two costs, those that no other beats in one without losing in the other; by the first, ascending.
/// Points that are not finite are in no front.
std::vector<size_t> pareto_front(std::span<const double> first, std::span<const double> second);

}  // namespace switchyard
