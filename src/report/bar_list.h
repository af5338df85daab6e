#pragma once

#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// Named amounts, each with a bar from zero, in the order given.
struct BarList {
  struct Row {
    std::string label = {};
    double value = 0;
  };
  std::string title = {};
  Unit unit = kCount;
  std::vector<Row> rows = {};
};
std::string render(const BarList& list);

}  // namespace switchyard::report
