#pragma once

#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// Things by two quantities, some of them joined by a line.
struct Scatter {
  struct Point {
    double x, y;
    std::string label = {};  ///< its tooltip begins with it
    bool marked = false;     ///< drawn in another colour
  };
  std::string title = {};
  std::string x_name = {}, y_name = {};
  Unit x_unit = kNumber, y_unit = kNumber;
  std::vector<Point> points = {};
  std::vector<size_t> line = {};  ///< of these points, from left to right
  std::string line_label = {};    ///< what the line, and what is marked, is
  std::string rest_label = "others";
};
std::string render(const Scatter& scatter);

}  // namespace switchyard::report
