#include "report/time_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

using Points = std::vector<TimeSeries::Point>;

constexpr size_t kMostPoints = 480;
constexpr double kHeight = 200;
constexpr double kWidestBreak = 0.02, kAllBreaks = 0.2;  // of the width
// In pixels: a character, what is left beside a label, plots from the narrowest on (the style sheet's "from…").
constexpr double kCharacter = 7, kBeside = 10;
constexpr std::array<int, 4> kPlotWidths = {270, 500, 800, 1100};

/// Where attempts lie on the axis.
class RunningTime {
 public:
  explicit RunningTime(const std::vector<TimeSeries::Attempt>& attempts) {
    for (const TimeSeries::Attempt& attempt : attempts) {
      begins_.push_back(attempt.begin);
      before_.push_back(total_);
      total_ += std::max(0.0, attempt.end - attempt.begin);
    }
    const auto breaks = static_cast<double>(attempts.size()) - 1;
    if (breaks > 0) break_ = std::min(kWidestBreak, kAllBreaks / breaks);
    drawn_ = 1 - breaks * break_;
  }

  double total() const { return total_; }
  /// Of the width.
  double at(size_t attempt, double seconds) const {
    const double running = before_[attempt] + std::clamp(seconds - begins_[attempt], 0.0, total_ - before_[attempt]);
    return drawn_ * running / std::max(total_, 1e-9) + break_ * static_cast<double>(attempt);
  }
  /// Of the width, for a time that counts only while attempts ran.
  double at_running(double running) const {
    const auto next = std::upper_bound(before_.begin(), before_.end(), running);
    const auto attempt = static_cast<size_t>(next - before_.begin()) - 1;
    return at(attempt, begins_[attempt] + running - before_[attempt]);
  }

 private:
  std::vector<double> begins_, before_;
  double total_ = 0, break_ = 0, drawn_ = 1;
};

bool is_finite(const TimeSeries::Point& point) {
  return std::isfinite(point.value) && std::isfinite(point.seconds);
}

/// Every `merged` neighbours as their mean.
Points means(const Points& points, size_t merged) {
  Points out;
  for (size_t first = 0; first < points.size(); first += merged) {
    const size_t end = std::min(first + merged, points.size());
    TimeSeries::Point mean{0, 0};
    for (size_t i = first; i < end; ++i) {
      mean.seconds += points[i].seconds / static_cast<double>(end - first);
      mean.value += points[i].value / static_cast<double>(end - first);
    }
    out.push_back(mean);
  }
  return out;
}

/// An attempt's points, cut where one is not finite.
std::vector<Points> lines_of(const TimeSeries::Attempt& attempt, size_t merged) {
  std::vector<Points> lines;
  for (auto at = attempt.points.begin(); at != attempt.points.end();) {
    const auto first = std::find_if(at, attempt.points.end(), is_finite);
    at = std::find_if_not(first, attempt.points.end(), is_finite);
    if (first != at) lines.push_back(means({first, at}, merged));
  }
  return lines;
}

class Drawing {
 public:
  Drawing(const TimeSeries& series, const RunningTime& time, const Axis& y) : series_(series), time_(time), y_(y) {}

  void band(size_t attempt) {
    const TimeSeries::Attempt& a = series_.attempts[attempt];
    const double left = time_.at(attempt, a.begin), width = time_.at(attempt, a.end) - left;
    const std::string fact = fmt::format("{}: ran for {}", a.label, text(a.end - a.begin, kSeconds));
    bands_ += fmt::format("<rect class=\"band\" x=\"{}\" width=\"{}\" height=\"{}\">{}</rect>\n", percent(left),
                          percent(width), coordinate(kHeight), tooltip(fact));
    const double needed = static_cast<double>(num_characters(a.label)) * kCharacter + kBeside;
    const auto* const roomy = std::find_if(kPlotWidths.begin(), kPlotWidths.end(),
                                           [&](int plot_width) { return width * plot_width >= needed; });
    if (roomy != kPlotWidths.end())
      bands_ += fmt::format("<text class=\"from{}\" x=\"{}\" y=\"13\" dx=\"4\">{}</text>\n", *roomy, percent(left),
                            escaped(a.label));
  }

  void line(size_t attempt, const Points& points) {
    if (points.size() == 1) {
      spots_ += fmt::format("<circle class=\"spot\" cx=\"{}\" cy=\"{}\" r=\"2.5\"/>\n",
                            percent(time_.at(attempt, points[0].seconds)), coordinate(height_of(points[0])));
    } else {
      std::string path;
      for (const TimeSeries::Point& point : points)
        path += fmt::format("{}{} {}", path.empty() ? 'M' : 'L', coordinate(1000 * time_.at(attempt, point.seconds)),
                            coordinate(height_of(point)));
      lines_ += fmt::format("<path class=\"line\" d=\"{}\"/>\n", path);
    }
    for (size_t i = 0; i < points.size(); ++i) target(attempt, points, i);
  }

  std::string marks() const {
    return bands_ + open_stretched(1000, kHeight) + "\n" + lines_ + "</svg>\n" + spots_ + targets_;
  }

 private:
  double height_of(const TimeSeries::Point& point) const { return kHeight * (1 - y_.at(point.value)); }

  /// What is nearest to the point in time shows its tooltip.
  void target(size_t attempt, const Points& points, size_t i) {
    const double here = points[i].seconds;
    const double left = time_.at(attempt, i == 0 ? here : (points[i - 1].seconds + here) / 2);
    const double right = time_.at(attempt, i + 1 == points.size() ? here : (here + points[i + 1].seconds) / 2);
    targets_ += fmt::format("<rect class=\"target\" x=\"{}\" width=\"{}\" height=\"{}\">{}</rect>\n", percent(left),
                            percent(std::max(right - left, 0.002)), coordinate(kHeight),
                            tooltip(fmt::format("{}, {} after the start: {}", series_.attempts[attempt].label,
                                                text(here, kSeconds), text(points[i].value, series_.unit))));
  }

  const TimeSeries& series_;
  const RunningTime& time_;
  const Axis& y_;
  std::string bands_, lines_, spots_, targets_;
};

struct Facts {
  double low = 0, high = 0, sum = 0;
  size_t num = 0, not_finite = 0;
};
Facts facts_of(const TimeSeries& series) {
  Facts facts;
  for (const TimeSeries::Attempt& attempt : series.attempts)
    for (const TimeSeries::Point& point : attempt.points) {
      if (!is_finite(point)) {
        ++facts.not_finite;
        continue;
      }
      facts.low = facts.num == 0 ? point.value : std::min(facts.low, point.value);
      facts.high = facts.num == 0 ? point.value : std::max(facts.high, point.value);
      facts.sum += point.value;
      ++facts.num;
    }
  return facts;
}

/// The attempts, ending with their last point at the earliest.
TimeSeries with_ends(TimeSeries series) {
  for (TimeSeries::Attempt& attempt : series.attempts)
    for (const TimeSeries::Point& point : attempt.points)
      if (std::isfinite(point.seconds)) attempt.end = std::max(attempt.end, point.seconds);
  return series;
}

void add_remarks(Figure& figure, const TimeSeries& series, const RunningTime& time, size_t merged) {
  if (series.attempts.size() > 1) {
    const double whole = series.attempts.back().end - series.attempts.front().begin;
    figure.remarks.push_back(fmt::format("{}; {} between them, left out of the axis.",
                                         plural(std::ssize(series.attempts), "attempt"),
                                         text(std::max(0.0, whole - time.total()), kSeconds)));
  }
  if (merged > 1) figure.remarks.push_back(fmt::format("Each point is the mean of {} measurements.", merged));
}

}  // namespace

std::string render(const TimeSeries& given) {
  const TimeSeries series = with_ends(given);
  Figure figure{.title = series.title, .wide = true};
  const Facts facts = facts_of(series);
  if (facts.num > 0) {
    const RunningTime time(series.attempts);
    const size_t merged = (facts.num + kMostPoints - 1) / kMostPoints;
    Plot plot{.height = kHeight};
    plot.y = rounded_axis(std::min(0.0, facts.low), facts.high, series.unit, 4);
    for (const Axis::Tick& tick : linear_axis(0, std::max(time.total(), 1e-9), kSeconds, 5).ticks)
      plot.x.ticks.push_back({time.at_running(tick.value), tick.label});
    plot.x_name = series.attempts.size() > 1 ? "running time" : "time";
    plot.y_name = series.unit.word;
    Drawing drawing(series, time, plot.y);
    for (size_t a = 0; a < series.attempts.size(); ++a) {
      if (series.attempts.size() > 1) drawing.band(a);
      for (const Points& line : lines_of(series.attempts[a], merged)) drawing.line(a, line);
    }
    plot.marks = drawing.marks();
    const std::string summary =
        fmt::format("{} to {}, mean {}", text(facts.low, series.unit), text(facts.high, series.unit),
                    text(facts.sum / static_cast<double>(facts.num), series.unit));
    plot.description = fmt::format("{}: {}, over {} in {}", series.title, summary, text(time.total(), kSeconds),
                                   plural(std::ssize(series.attempts), "attempt"));
    figure.drawing = render(plot);
    figure.remarks.push_back(summary + ".");
    add_remarks(figure, series, time, merged);
  }
  add_remark_on_left_out(figure, static_cast<long long>(facts.not_finite));
  return render(figure);
}

}  // namespace switchyard::report
