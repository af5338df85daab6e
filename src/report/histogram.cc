#include "report/histogram.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

constexpr int64_t kMostBars = 120;

struct Bar {
  double from, to;
  int64_t count;
};

/// From the first bin that is not empty to the last. Neighbours as one where there are more than can be told apart.
std::vector<Bar> bars_of(const Bins& bins) {
  int64_t begin = 0, end = bins.size();
  while (begin < end && bins.count(begin) == 0) ++begin;
  while (begin < end && bins.count(end - 1) == 0) --end;
  const int64_t merged = (end - begin + kMostBars - 1) / kMostBars;
  std::vector<Bar> bars;
  for (int64_t first = begin; first < end; first += merged) {
    const int64_t next = std::min(first + merged, end);
    Bar bar{bins.edge(first), bins.edge(next), 0};
    for (int64_t bin = first; bin < next; ++bin) bar.count += bins.count(bin);
    bars.push_back(bar);
  }
  return bars;
}

std::string draw(const std::vector<Bar>& bars, const Histogram& h, const Plot& plot) {
  std::string marks;
  const auto total = static_cast<double>(h.bins.total());
  for (const Bar& bar : bars) {
    if (bar.count == 0) continue;
    const auto count = static_cast<double>(bar.count);
    const double left = plot.x.at(bar.from), top = plot.height * (1 - plot.y.at(count));
    marks += fmt::format(
        "<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">{}</rect>\n", percent(left), coordinate(top),
        percent(plot.x.at(bar.to) - left), coordinate(plot.height - top),
        tooltip(fmt::format("{} to {}: {} ({})", short_text(bar.from, h.value_unit), short_text(bar.to, h.value_unit),
                            text(count, h.counted), text(count / total, kShare))));
  }
  return marks;
}

void add_remarks(Figure& figure, const Histogram& h) {
  const auto outside = [&](int64_t count, std::string_view where, double bound) {
    if (count > 0)
      figure.remarks.push_back(fmt::format("Not drawn: {} {} {}.", text(static_cast<double>(count), h.counted), where,
                                           short_text(bound, h.value_unit)));
  };
  outside(h.bins.below(), "below", h.bins.edge(0));
  outside(h.bins.above(), "at or above", h.bins.edge(h.bins.size()));
  add_remark_on_left_out(figure, h.bins.not_finite());
}

/// No more precise than the bins.
std::string median_text(const Histogram& h) {
  const int64_t bin = h.bins.median_bin(), size = h.bins.size();
  const auto edge = [&](int64_t i) { return short_text(h.bins.edge(i), h.value_unit); };
  if (bin < 0) return "below " + edge(0);
  if (bin >= size) return "at or above " + edge(size);
  return fmt::format("from {} to {}", edge(bin), edge(bin + 1));
}

}  // namespace

std::string render(const Histogram& h) {
  Figure figure{.title = h.title};
  const std::vector<Bar> bars = bars_of(h.bins);
  if (!bars.empty()) {
    const int64_t most = std::ranges::max_element(bars, {}, &Bar::count)->count;
    const double low = bars.front().from, high = bars.back().to;
    Plot plot;
    plot.x = h.bins.spacing() == Spacing::linear ? linear_axis(low, high, h.value_unit, 5)
                                                 : logarithmic_axis(low, high, h.value_unit, 5);
    plot.y = rounded_axis(0, static_cast<double>(most), kCount, 4);
    plot.x_name = h.value_name;
    plot.y_name = h.counted.word;
    plot.marks = draw(bars, h, plot);
    const std::string facts =
        fmt::format("{}, median {}", text(static_cast<double>(h.bins.total()), h.counted), median_text(h));
    plot.description =
        fmt::format("{}: {}, from {} to {}", h.title, facts, text(low, h.value_unit), text(high, h.value_unit));
    figure.remarks.push_back(facts + ".");
    figure.drawing = render(plot);
  }
  add_remarks(figure, h);
  return render(figure);
}

}  // namespace switchyard::report
