// A drawing area with two axes.
#pragma once

#include <string>

#include "report/axis.h"

namespace switchyard::report {

struct Plot {
  Axis x = {}, y = {};
  std::string x_name = {}, y_name = {};
  double height = 200;     ///< of the area, in pixels; its width is the page's
  std::string marks = {};  ///< SVG: x in percent of the area, y in pixels from its top
  std::string description = {};
  bool y_downwards = false;  ///< y.low is at the top, as in a table
  bool grid = true;
};
std::string render(const Plot& plot);

/// Opens a part of a drawing whose units are `width` × `height` of them, stretched over the whole area; strokes keep
/// their width. To be closed with </svg>.
std::string open_stretched(double width, double height);

}  // namespace switchyard::report
