#include "report/stacked_bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "report/figure.h"
#include "report/markup.h"
#include "report/rows.h"

namespace switchyard::report {
namespace {

constexpr size_t kMostParts = 8;  // colours that can be told apart
constexpr size_t kMostRows = 48;  // on a sheet of paper

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// Values that are not finite as zero. Returns their number.
long long leave_out_not_finite(StackedBars& bars) {
  long long left_out = 0;
  for (StackedBars::Row& row : bars.rows)
    for (double& value : row.values)
      if (!std::isfinite(value)) {
        value = 0;
        ++left_out;
      }
  return left_out;
}

/// Parts without anything go, and of too many the least become one.
void reduce_parts(StackedBars& bars) {
  std::vector<double> sums(bars.parts.size());
  for (const StackedBars::Row& row : bars.rows)
    for (size_t p = 0; p < sums.size(); ++p) sums[p] += row.values[p];
  std::vector<size_t> kept(sums.size());
  std::iota(kept.begin(), kept.end(), size_t{0});
  std::erase_if(kept, [&](size_t p) { return sums[p] <= 0; });
  const size_t others = kept.size() > kMostParts ? kept.size() - kMostParts + 1 : 0;
  if (others > 0) {
    std::stable_sort(kept.begin(), kept.end(), [&](size_t a, size_t b) { return sums[a] > sums[b]; });
    kept.resize(kMostParts - 1);
    std::sort(kept.begin(), kept.end());
  }
  std::vector<std::string> parts;
  for (const size_t p : kept) parts.push_back(bars.parts[p]);
  if (others > 0) parts.push_back(fmt::format("{} others", others));
  for (StackedBars::Row& row : bars.rows) {
    std::vector<double> values;
    for (const size_t p : kept) values.push_back(row.values[p]);
    if (others > 0) values.push_back(std::max(0.0, sum(row.values) - sum(values)));
    row.values = std::move(values);
  }
  bars.parts = std::move(parts);
}

/// Of too many rows neighbours become their mean. Returns how many are one.
size_t reduce_rows(StackedBars& bars) {
  const size_t merged = (bars.rows.size() + kMostRows - 1) / kMostRows;
  if (merged <= 1) return 1;
  std::vector<StackedBars::Row> rows;
  for (size_t first = 0; first < bars.rows.size(); first += merged) {
    const size_t end = std::min(first + merged, bars.rows.size());
    StackedBars::Row mean = bars.rows[first];
    if (end - first > 1) mean.label += " – " + bars.rows[end - 1].label;
    for (size_t p = 0; p < bars.parts.size(); ++p) {
      for (size_t r = first + 1; r < end; ++r) mean.values[p] += bars.rows[r].values[p];
      mean.values[p] /= static_cast<double>(end - first);
    }
    rows.push_back(std::move(mean));
  }
  bars.rows = std::move(rows);
  return merged;
}

Rows draw(const StackedBars& bars, const Axis& axis) {
  Rows rows;
  const Scale scale = scale_of(axis.high, bars.unit);
  const int decimals = decimals_for(axis.high / scale.factor, 3);
  for (const StackedBars::Row& row : bars.rows) {
    std::string marks, description = row.label + ":";
    double start = 0;
    for (size_t p = 0; p < bars.parts.size(); ++p) {
      const double value = row.values[p];
      if (value <= 0) continue;
      const std::string fact = fmt::format("{} {}", bars.parts[p], text(value, bars.unit));
      marks += fmt::format("<rect class=\"part c{}\" x=\"{}\" width=\"{}\" height=\"100%\">{}</rect>", p,
                           percent(axis.at(start)), percent(axis.at(start + value) - axis.at(start)), tooltip(fact));
      description += (start == 0 ? " " : ", ") + fact;
      start += value;
    }
    rows.add({.label = row.label,
              .marks = marks,
              .value = with_symbol(fixed(start / scale.factor, decimals), scale.symbol),
              .description = description});
  }
  rows.set_axis(axis);
  return rows;
}

}  // namespace

std::string render(const StackedBars& given) {
  StackedBars bars = given;
  for (const StackedBars::Row& row : bars.rows)
    SWITCHYARD_CHECK(row.values.size() == bars.parts.size(), "{}: {} values of {} parts", row.label, row.values.size(),
                     bars.parts.size());
  Figure figure{.title = bars.title};
  const long long left_out = leave_out_not_finite(bars);
  reduce_parts(bars);
  const size_t merged = reduce_rows(bars);
  double longest = 0;
  for (const StackedBars::Row& row : bars.rows) longest = std::max(longest, sum(row.values));
  if (longest > 0) {
    for (size_t p = 0; p < bars.parts.size(); ++p) figure.legend.push_back({fmt::format("c{}", p), bars.parts[p]});
    figure.drawing = draw(bars, linear_axis(0, longest, bars.unit, 4)).html();
    if (merged > 1) figure.remarks.push_back(fmt::format("Each line is the mean of {} neighbours.", merged));
  }
  add_remark_on_left_out(figure, left_out);
  return render(figure);
}

}  // namespace switchyard::report
