#pragma once

#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// What totals are made of: phases per rank. Parts follow each other from zero.
struct StackedBars {
  struct Row {
    std::string label = {};
    std::vector<double> values = {};  ///< [parts], not negative
  };
  std::string title = {};
  Unit unit = kSeconds;
  std::vector<std::string> parts = {};
  std::vector<Row> rows = {};
};
std::string render(const StackedBars& bars);

}  // namespace switchyard::report
