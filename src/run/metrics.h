// RUN/metrics.jsonl, or RUN/timing.jsonl beside it: what each group of ranks had done of its units when. Read by status
// for the rate, and by the last attempt for what others computed in vain.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "io/json.h"
#include "run/run_directory.h"

namespace switchyard {

/// Of the first rank of a group that works on one unit after the other.
class MetricsWriter {
 public:
  MetricsWriter(std::filesystem::path path, int64_t group) : path_(std::move(path)), group_(group) {}

  void begin(int64_t unit);
  int64_t items_told() const { return items_told_; }  ///< of the unit
  double seconds_untold() const;
  /// A line: `items` of the unit are done so far. `more`: the job's own fields.
  void tell(int64_t items, const Json& more = Json::object());

 private:
  const std::filesystem::path path_;
  const int64_t group_;
  int64_t unit_ = 0, items_told_ = 0;
  double told_at_ = 0;
};

/// Items per second of all groups, by the last lines that were written at `since` (seconds since 1970) or later; 0 when
/// there are none.
double items_per_second(const RunDirectory& run, double since = 0);

/// What a run's attempts computed in vain.
struct RestartLosses {
  int64_t items = 0;  ///< computed and dropped, lost with a killed attempt, or computed again
  int64_t units = 0;  ///< of which those were
};

/// As far as the lines go: one that is torn is passed over, and what an attempt did in the seconds before it was killed
/// is not in them. kept_items(unit): of what is there of it.
RestartLosses restart_losses(const std::filesystem::path& metrics,
                             const std::function<int64_t(int64_t unit)>& kept_items,
                             const std::function<void()>& poll = {});

}  // namespace switchyard
