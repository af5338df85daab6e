#include "report/rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/figure.h"
#include "report/markup.h"

namespace switchyard::report {
namespace {

constexpr size_t kManyRows = 20;  // more are drawn thinner

std::string lines_behind(const Axis& axis) {
  std::string lines;
  for (const Axis::Tick& tick : axis.ticks)
    lines += fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{0}\" y1=\"-50%\" y2=\"150%\"/>",
                         percent(axis.at(tick.value)));
  return lines;
}

std::string axis_row(const Axis& axis) {
  std::string out = "<span></span><svg class=\"scale\" width=\"100%\" height=\"16\" aria-hidden=\"true\">";
  for (const Axis::Tick& tick : axis.ticks) {
    const double fraction = axis.at(tick.value);
    out +=
        fmt::format("<text x=\"{}\" y=\"12\" text-anchor=\"middle\">{}</text>", percent(fraction), escaped(tick.label));
  }
  return out + "</svg><span></span>\n";
}

}  // namespace

std::string Rows::html() const {
  size_t longest = 1;
  for (const Row& row : rows_) longest = std::max(longest, num_characters(row.label));
  const bool many = rows_.size() > kManyRows;
  std::string out = fmt::format("<div class=\"rows{}\" style=\"--label:{}ch\">\n", many ? " many" : "", longest + 1);
  const std::string behind = lines_behind(axis_);
  for (const Row& row : rows_) {
    const std::string spoken = row.description.empty()
                                   ? "aria-hidden=\"true\""
                                   : fmt::format("role=\"img\" aria-label=\"{}\"", escaped(row.description));
    out +=
        fmt::format("<span class=\"label\">{}</span><svg width=\"100%\" {}>{}{}</svg><span class=\"value\">{}</span>\n",
                    escaped(row.label), spoken, behind, row.marks, escaped(row.value));
  }
  if (!axis_.ticks.empty()) out += axis_row(axis_);
  return out + "</div>\n";
}

}  // namespace switchyard::report
