// What every chart has around its drawing: a caption, a legend, remarks, and a sentence in place of a drawing without
// data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard::report {

struct Figure {
  struct LegendEntry {
    std::string style;  ///< class of a mark: "c0"
    std::string label;
  };
  std::string title = {};
  std::vector<LegendEntry> legend = {};
  std::string drawing = {};               ///< HTML with SVG; empty: nothing to show
  std::vector<std::string> remarks = {};  ///< plain text below
  bool wide = false;                      ///< has a line of the page to itself
};
std::string render(const Figure& figure);

/// What is said of values that are NaN or infinite; nothing when there are none.
void add_remark_on_left_out(Figure& figure, long long not_finite);

/// The start of a drawing that is read out as one image: `description` in plain text.
std::string open_svg(std::string_view style, double height, const std::string& description);

/// A mark's tooltip.
std::string tooltip(const std::string& plain_text);

}  // namespace switchyard::report
