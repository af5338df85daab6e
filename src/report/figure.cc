#include "report/figure.h"

#include <fmt/format.h>

#include "report/markup.h"

namespace switchyard::report {

std::string render(const Figure& figure) {
  std::string out = fmt::format("<figure class=\"card{}\">\n<figcaption>{}</figcaption>\n", figure.wide ? " wide" : "",
                                escaped(figure.title));
  if (!figure.legend.empty()) {
    out += "<ul class=\"legend\">";
    for (const Figure::LegendEntry& entry : figure.legend)
      out += fmt::format(
          "<li><svg width=\"11\" height=\"11\" aria-hidden=\"true\"><rect class=\"{}\" width=\"11\" "
          "height=\"11\"/></svg>"
          "<span>{}</span></li>",
          entry.style, escaped(entry.label));
    out += "</ul>\n";
  }
  out += figure.drawing.empty() ? "<p class=\"empty\">No data.</p>\n" : figure.drawing;
  for (const std::string& remark : figure.remarks) out += fmt::format("<p class=\"remark\">{}</p>\n", escaped(remark));
  return out + "</figure>\n";
}

void add_remark_on_left_out(Figure& figure, long long not_finite) {
  if (not_finite == 1) figure.remarks.emplace_back("1 value is not a finite number and is left out.");
  if (not_finite > 1)
    figure.remarks.push_back(fmt::format("{} are not finite numbers and are left out.", plural(not_finite, "value")));
}

std::string open_svg(std::string_view style, double height, const std::string& description) {
  return fmt::format("<svg class=\"{}\" width=\"100%\" height=\"{}\" role=\"img\" aria-label=\"{}\">\n", style,
                     coordinate(height), escaped(description));
}

std::string tooltip(const std::string& plain_text) {
  return fmt::format("<title>{}</title>", escaped(plain_text));
}

}  // namespace switchyard::report
