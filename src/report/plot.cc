#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/figure.h"
#include "report/markup.h"

namespace switchyard::report {
namespace {

// In pixels, of the page's small print.
constexpr double kCharacter = 7, kLine = 14, kGap = 8;

}  // namespace

std::string open_stretched(double width, double height) {
  return fmt::format(
      "<svg width=\"100%\" height=\"100%\" viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" class=\"stretched\">",
      coordinate(width), coordinate(height));
}

std::string render(const Plot& plot) {
  size_t longest = 0;
  for (const Axis::Tick& tick : plot.y.ticks) longest = std::max(longest, num_characters(tick.label));
  const double gutter = static_cast<double>(longest) * kCharacter + kGap;
  std::string grid, labels;
  for (const Axis::Tick& tick : plot.y.ticks) {
    const double fraction = plot.y.at(tick.value), y = plot.height * (plot.y_downwards ? fraction : 1 - fraction);
    if (plot.grid)
      grid += fmt::format("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{0}\" y2=\"{0}\"/>", coordinate(y));
    labels += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", coordinate(-kGap), coordinate(y + 4),
                          escaped(tick.label));
  }
  for (const Axis::Tick& tick : plot.x.ticks) {
    const double fraction = plot.x.at(tick.value);
    grid += fmt::format("<line class=\"tick\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>", percent(fraction),
                        coordinate(plot.height), coordinate(plot.height + 4));
    labels += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>", percent(fraction),
                          coordinate(plot.height + 4 + kLine), escaped(tick.label));
  }
  if (!plot.y_name.empty())
    labels += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>", coordinate(-gutter), coordinate(-kGap - 4),
                          escaped(plot.y_name));
  labels += fmt::format("<text x=\"100%\" y=\"{}\" text-anchor=\"end\">{}</text>",
                        coordinate(plot.height + 4 + 2 * kLine + 3), escaped(plot.x_name));
  return fmt::format("<div class=\"plot\" style=\"padding-top:{}px;padding-left:{}px\">\n{}{}\n{}\n{}\n</svg></div>\n",
                     plot.y_name.empty() ? 6 : 22, coordinate(gutter), open_svg("axes", plot.height, plot.description),
                     grid, plot.marks, labels);
}

}  // namespace switchyard::report
