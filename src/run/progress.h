// What a person watching the run sees: a bar on a terminal, otherwise a line after the first step and every 30 s.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "run/work_units.h"

namespace switchyard {

struct ProgressReport {
  std::string units = "units";  ///< what they are called
  int64_t units_done = 0, units_total = 0, units_resumed = 0;
  int64_t items_done = 0, items_total = 0;  ///< with those of units under way
  std::string details;                      ///< the job's own: "41.2k tok/s | comm 23%"
  double seconds_left = -1;                 ///< negative: not known
  double seconds_to_limit = -1;             ///< until Slurm ends the job
};

/// "1200/5000 chunks (resumed 800) | 24.1% | 41.2k tok/s | comm 23% | ETA 00:41 (limit 01:55)"
std::string progress_line(const ProgressReport& report);

class Progress {
 public:
  explicit Progress(bool enabled);
  ~Progress();  ///< ends the bar's line
  /// Whether it is time to say something again; collecting the numbers may cost.
  bool due() const;
  void show(const ProgressReport& report);

 private:
  bool enabled_, terminal_;
  bool bar_shown_ = false;
  std::optional<double> last_;  ///< nothing was said yet: the first step says how it goes
};

}  // namespace switchyard
