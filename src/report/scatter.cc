#include "report/scatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

constexpr double kWidth = 1000, kHeight = 260;

/// Room around what would lie on the edge.
Axis axis_over(const std::vector<Scatter::Point>& points, double Scatter::Point::*value, Unit unit, int ticks) {
  const auto [low, high] = std::ranges::minmax(points, {}, value);
  const double first = low.*value, last = high.*value;
  const double margin = last > first ? 0.04 * (last - first) : std::max(std::abs(first) * 0.05, 1e-9);
  return linear_axis(first - margin, last + margin, unit, ticks);
}

}  // namespace

std::string render(const Scatter& given) {
  Scatter scatter = given;
  for (const size_t i : scatter.line)
    SWITCHYARD_CHECK(i < scatter.points.size() && std::isfinite(scatter.points[i].x + scatter.points[i].y),
                     "{}: point {} of {} on the line", scatter.title, i, scatter.points.size());
  const auto is_finite = [](const Scatter::Point& p) { return std::isfinite(p.x) && std::isfinite(p.y); };
  const auto not_finite = std::ranges::count_if(scatter.points, [&](const auto& p) { return !is_finite(p); });
  Figure figure{.title = scatter.title};
  std::vector<Scatter::Point> points;
  std::ranges::copy_if(scatter.points, std::back_inserter(points), is_finite);
  if (!points.empty()) {
    Plot plot{.height = kHeight};
    plot.x = axis_over(points, &Scatter::Point::x, scatter.x_unit, 6);
    plot.y = axis_over(points, &Scatter::Point::y, scatter.y_unit, 5);
    plot.x_name = scatter.x_name;
    plot.y_name = scatter.y_name;
    std::string path, spots;
    for (const size_t i : scatter.line)
      path += fmt::format("{}{} {}", path.empty() ? 'M' : 'L', coordinate(kWidth * plot.x.at(scatter.points[i].x)),
                          coordinate(kHeight * (1 - plot.y.at(scatter.points[i].y))));
    for (const Scatter::Point& point : points)
      spots += fmt::format(
          "<circle class=\"spot c{}\" cx=\"{}\" cy=\"{}\" r=\"{}\">{}</circle>\n", point.marked ? 5 : 0,
          percent(plot.x.at(point.x)), coordinate(kHeight * (1 - plot.y.at(point.y))), point.marked ? 4.5 : 3.5,
          tooltip(fmt::format("{}{}{} {}, {} {}", point.label, point.label.empty() ? "" : ": ", scatter.x_name,
                              text(point.x, scatter.x_unit), scatter.y_name, text(point.y, scatter.y_unit))));
    const std::string line = path.empty() ? "" : fmt::format("<path class=\"line l5\" d=\"{}\"/>", path);
    plot.marks = open_stretched(kWidth, kHeight) + line + "</svg>\n" + spots;
    plot.description =
        fmt::format("{}. {} points, {} over {}", scatter.title, points.size(), scatter.y_name, scatter.x_name);
    figure.drawing = render(plot);
    if (!scatter.line_label.empty()) figure.legend = {{"c5", scatter.line_label}, {"c0", scatter.rest_label}};
  }
  add_remark_on_left_out(figure, static_cast<long long>(not_finite));
  return render(figure);
}

}  // namespace switchyard::report
