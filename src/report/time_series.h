#pragma once

#include <string>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// A quantity over the time of a run, attempt by attempt. The axis counts running time; between attempts is a break.
struct TimeSeries {
  struct Point {
    double seconds;  ///< since the run began
    double value;
  };
  struct Attempt {
    std::string label = {};
    double begin = 0, end = 0;       ///< seconds since the run began; one attempt after the other
    std::vector<Point> points = {};  ///< in order of time; at one that is not finite the line has a gap
  };
  std::string title = {};
  Unit unit = kNumber;
  std::vector<Attempt> attempts = {};
};
std::string render(const TimeSeries& series);

}  // namespace switchyard::report
