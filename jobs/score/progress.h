// What a person watching the run sees: a bar on a terminal, otherwise a line after the first step and every 30 s.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace switchyard {

struct ProgressReport {
  int64_t chunks_done = 0, chunks_total = 0, chunks_resumed = 0;
  int64_t records_done = 0, records_total = 0;  ///< with those of the chunks that are being scored
  double tokens_per_second = 0;                 ///< of the world
  double exchange_share = 0;                    ///< of this rank's time
  double imbalance = 1;                         ///< most loaded rank's expert rows over the mean
  double seconds_left = -1;                     ///< negative: not known
  double seconds_to_limit = -1;                 ///< until Slurm ends the job
};

/// "1200/5000 chunks (resumed 800) | 24.1% | 41.2k tok/s | comm 23% | imbalance 1.18 | ETA 00:41 (limit 01:55)"
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
