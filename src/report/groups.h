#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// Single values in groups side by side, each a point; of groups that have one a middle and an interval.
struct Groups {
  struct Interval {
    double low, middle, high;
  };
  struct Group {
    std::string label = {};
    std::vector<double> values = {};
    std::optional<Interval> interval = {};
  };
  std::string title = {};
  std::string x_name = {}, y_name = {};
  Unit unit = kNumber;
  std::vector<Group> groups = {};
  std::string interval_label = {};  ///< what intervals are
};
std::string render(const Groups& groups);

}  // namespace switchyard::report
