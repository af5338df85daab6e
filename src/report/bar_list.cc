#include "report/bar_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/figure.h"
#include "report/markup.h"
#include "report/rows.h"

namespace switchyard::report {
namespace {

constexpr size_t kMostRows = 40;

/// The finite ones; of too many the last are one.
std::vector<BarList::Row> rows_to_draw(const BarList& list) {
  std::vector<BarList::Row> rows;
  std::copy_if(list.rows.begin(), list.rows.end(), std::back_inserter(rows),
               [](const BarList::Row& row) { return std::isfinite(row.value); });
  if (rows.size() <= kMostRows) return rows;
  BarList::Row others{fmt::format("{} others", rows.size() - kMostRows + 1)};
  for (size_t r = kMostRows - 1; r < rows.size(); ++r) others.value += rows[r].value;
  rows.resize(kMostRows - 1);
  rows.push_back(others);
  return rows;
}

}  // namespace

std::string render(const BarList& list) {
  Figure figure{.title = list.title};
  const std::vector<BarList::Row> rows = rows_to_draw(list);
  double largest = 0;
  for (const BarList::Row& row : rows) largest = std::max(largest, row.value);
  Rows drawn;
  for (const BarList::Row& row : rows) {
    const double length = largest > 0 ? std::max(0.0, row.value) / largest : 0;
    drawn.add({.label = row.label,
               .marks = fmt::format("<rect class=\"bar\" width=\"{}\" height=\"100%\"/>", percent(length)),
               .value = text(row.value, list.unit),
               .description = {}});
  }
  if (!rows.empty()) figure.drawing = drawn.html();
  add_remark_on_left_out(
      figure, std::ssize(list.rows) - std::count_if(list.rows.begin(), list.rows.end(),
                                                    [](const auto& row) { return std::isfinite(row.value); }));
  return render(figure);
}

}  // namespace switchyard::report
