#include "report/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

using Points = std::vector<ThinnedLine::Point>;

constexpr size_t kMostLines = 4;   // colours of the style sheet
constexpr size_t kFewPoints = 32;  // each is marked
constexpr double kWidth = 1000, kHeight = 200;

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

class Drawing {
 public:
  Drawing(const Curves& curves, const Plot& plot) : curves_(curves), plot_(plot) {}

  void line(size_t number, const Points& points) {
    std::string path;
    for (const ThinnedLine::Point& point : points) {
      path +=
          fmt::format("{}{} {}", path.empty() ? 'M' : 'L', coordinate(kWidth * plot_.x.at(point.x)), height_of(point));
      if (points.size() <= kFewPoints)
        spots_ += fmt::format("<circle class=\"spot c{}\" cx=\"{}\" cy=\"{}\" r=\"2.5\"/>\n", number,
                              percent(plot_.x.at(point.x)), height_of(point));
    }
    lines_ += fmt::format("<path class=\"line l{}\" d=\"{}\"/>\n", number, path);
  }

  /// What is nearest to a point of the first line shows its tooltip, with what the others were last.
  void targets(const std::vector<Points>& lines) {
    const Points& points = lines.front();
    for (size_t i = 0; i < points.size(); ++i) {
      const double here = points[i].x;
      const double left = plot_.x.at(i == 0 ? here : (points[i - 1].x + here) / 2);
      const double right = plot_.x.at(i + 1 == points.size() ? here : (here + points[i + 1].x) / 2);
      std::string fact =
          fmt::format("{}: {} {}", place(here), curves_.lines.front().label, text(points[i].value, curves_.unit));
      for (size_t other = 1; other < lines.size(); ++other) {
        const auto next = std::ranges::upper_bound(lines[other], here, {}, &ThinnedLine::Point::x);
        if (next == lines[other].begin()) continue;
        const ThinnedLine::Point& last = *std::prev(next);
        fact += fmt::format("; {} {} at {}", curves_.lines[other].label, text(last.value, curves_.unit), place(last.x));
      }
      targets_ += fmt::format("<rect class=\"target\" x=\"{}\" width=\"{}\" height=\"{}\">{}</rect>\n", percent(left),
                              percent(std::max(right - left, 0.002)), coordinate(kHeight), tooltip(fact));
    }
  }

  std::string marks() const { return open_stretched(kWidth, kHeight) + "\n" + lines_ + "</svg>\n" + spots_ + targets_; }

 private:
  std::string height_of(const ThinnedLine::Point& point) const {
    return coordinate(kHeight * (1 - plot_.y.at(point.value)));
  }
  std::string place(double x) const { return fmt::format("{} {}", curves_.x_name, text(std::round(x), kCount)); }

  const Curves& curves_;
  const Plot& plot_;
  std::string lines_, spots_, targets_;
};

/// "loss: 5.541 at first, 2.322 at last".
std::string ends_text(const Curves::Line& line, const Points& points, Unit unit) {
  return fmt::format("{}: {} at first, {} at last", line.label, text(points.front().value, unit),
                     text(points.back().value, unit));
}

}  // namespace

std::string render(const Curves& given) {
  SWITCHYARD_CHECK(given.lines.size() <= kMostLines, "{}: {} lines", given.title, given.lines.size());
  Curves curves = given;
  long long not_finite = 0;
  for (const Curves::Line& line : curves.lines) not_finite += line.points.not_finite();
  std::erase_if(curves.lines, [](const Curves::Line& line) { return line.points.empty(); });

  Figure figure{.title = curves.title};
  std::vector<Points> lines;
  Range x, y;
  std::string ends;
  for (size_t l = 0; l < curves.lines.size(); ++l) {
    lines.push_back(curves.lines[l].points.points());
    for (const ThinnedLine::Point& point : lines.back()) {
      x.include(point.x);
      y.include(point.value);
    }
    ends += (ends.empty() ? "" : "; ") + ends_text(curves.lines[l], lines.back(), curves.unit);
    if (curves.lines.size() > 1) figure.legend.push_back({fmt::format("c{}", l), curves.lines[l].label});
  }
  if (!lines.empty()) {
    Plot plot{.height = kHeight};
    plot.x = linear_axis(x.low, std::max(x.high, x.low + 1), kCount, 5);
    plot.y = rounded_axis(y.low, y.high, curves.unit, 4);
    plot.x_name = curves.x_name;
    plot.y_name = curves.unit.word;
    Drawing drawing(curves, plot);
    for (size_t l = 0; l < lines.size(); ++l) drawing.line(l, lines[l]);
    drawing.targets(lines);
    plot.marks = drawing.marks();
    plot.description = fmt::format("{}. {}", curves.title, ends);
    figure.drawing = render(plot);
    figure.remarks.push_back(ends + ".");
    if (const int64_t merged = curves.lines.front().points.merged(); merged > 1)
      figure.remarks.push_back(fmt::format("Each point is the mean of {} values.", merged));
  }
  add_remark_on_left_out(figure, not_finite);
  return render(figure);
}

}  // namespace switchyard::report
