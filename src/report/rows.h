// Horizontal bars in lines of text: a label that may wrap, a drawing as wide as is left, a value.
#pragma once

#include <string>
#include <vector>

#include "report/axis.h"

namespace switchyard::report {

class Rows {
 public:
  struct Row {
    std::string label = {};
    std::string marks = {};  ///< SVG: x in percent, height 100%
    std::string value = {};
    std::string description = {};  ///< of the marks; empty: label and value say it all
  };
  void add(const Row& row) { rows_.push_back(row); }
  /// Below the rows; its lines also behind them.
  void set_axis(const Axis& axis) { axis_ = axis; }
  std::string html() const;

 private:
  std::vector<Row> rows_;
  Axis axis_;
};

}  // namespace switchyard::report
