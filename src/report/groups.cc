#include "report/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

constexpr double kHeight = 220;

class Drawing {
 public:
  Drawing(const Groups& groups, const Plot& plot) : groups_(groups), plot_(plot) {}

  void group(size_t number) {
    const Groups::Group& group = groups_.groups[number];
    if (group.interval) interval(number, *group.interval);
    for (const double value : group.values)
      if (std::isfinite(value))
        marks_ +=
            fmt::format("<circle class=\"spot c0\" fill-opacity=\".7\" cx=\"{}\" cy=\"{}\" r=\"3.5\">{}</circle>\n",
                        percent(center(number)), height_of(value),
                        tooltip(fmt::format("{}: {}", group.label, text(value, groups_.unit))));
  }
  const std::string& marks() const { return marks_; }

 private:
  double center(size_t number) const { return plot_.x.at(static_cast<double>(number)); }
  std::string height_of(double value) const { return coordinate(kHeight * (1 - plot_.y.at(value))); }

  void interval(size_t number, const Groups::Interval& i) {
    const double half = std::min(0.012, 0.3 / static_cast<double>(groups_.groups.size()));
    const auto across = [&](double value, std::string_view width) {
      marks_ += fmt::format("<line class=\"range\" stroke-width=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>\n",
                            width, percent(center(number) - half), percent(center(number) + half), height_of(value),
                            height_of(value));
    };
    marks_ += fmt::format(
        "<line class=\"range\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\">{3}</line>\n", percent(center(number)),
        height_of(i.low), height_of(i.high),
        tooltip(fmt::format("{}: {} from {} to {}", groups_.groups[number].label, text(i.middle, groups_.unit),
                            text(i.low, groups_.unit), text(i.high, groups_.unit))));
    across(i.low, "1.4"), across(i.high, "1.4"), across(i.middle, "3");
  }

  const Groups& groups_;
  const Plot& plot_;
  std::string marks_;
};

}  // namespace

std::string render(const Groups& groups) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  long long not_finite = 0;
  bool has_interval = false;
  for (const Groups::Group& group : groups.groups) {
    has_interval |= group.interval.has_value();
    std::vector<double> values = group.values;
    if (group.interval) values.insert(values.end(), {group.interval->low, group.interval->high});
    for (const double value : values)
      if (std::isfinite(value))
        low = std::min(low, value), high = std::max(high, value);
      else
        ++not_finite;
  }
  Figure figure{.title = groups.title};
  if (low <= high) {
    Plot plot{.height = kHeight};
    const double last = static_cast<double>(groups.groups.size()) - 1;
    plot.x = {.low = -0.5, .high = last + 0.5};
    for (size_t i = 0; i < groups.groups.size(); ++i)
      plot.x.ticks.push_back({static_cast<double>(i), groups.groups[i].label});
    const double margin = high > low ? 0 : std::max(std::abs(low) * 0.05, 1e-9);
    plot.y = rounded_axis(low - margin, high + margin, groups.unit, 5);
    plot.x_name = groups.x_name;
    plot.y_name = groups.y_name;
    Drawing drawing(groups, plot);
    for (size_t i = 0; i < groups.groups.size(); ++i) drawing.group(i);
    plot.marks = drawing.marks();
    plot.description = fmt::format("{}. {} groups by {}", groups.title, groups.groups.size(), groups.x_name);
    figure.drawing = render(plot);
    if (has_interval) figure.remarks.push_back(groups.interval_label);
  }
  add_remark_on_left_out(figure, not_finite);
  return render(figure);
}

}  // namespace switchyard::report
