#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/axis.h"
#include "report/numbers.h"

namespace switchyard::report {

/// A value, not negative, for every pair: tokens by layer and expert, bytes by sender and receiver.
struct HeatMap {
  /// What a cell shows where a page has fewer cells than there are values.
  enum class Merge { mean, maximum };

  std::string title = {};
  std::string row_name = {}, column_name = {};  ///< "layer", "expert"; no row_name: of one row, without a number
  Unit unit = kCount;
  int64_t rows = 0, columns = 0;
  std::vector<double> values = {};    ///< [rows, columns]
  int64_t first_row = 0;              ///< its number
  Spacing spacing = Spacing::linear;  ///< of the colours
  Merge merge = Merge::mean;
};
std::string render(const HeatMap& map);

}  // namespace switchyard::report
