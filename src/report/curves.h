#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/numbers.h"
#include "report/thinned_line.h"

namespace switchyard::report {

/// Quantities over a number that counts up, on one axis: loss and held-out loss over steps.
struct Curves {
  struct Line {
    std::string label = {};
    ThinnedLine points = {};
  };
  std::string title = {};
  std::string x_name = {};  ///< "step": what the axis counts, singular
  Unit unit = kNumber;
  std::vector<Line> lines = {};  ///< at most four; tooltips are at the first one's points
};
std::string render(const Curves& curves);

}  // namespace switchyard::report
