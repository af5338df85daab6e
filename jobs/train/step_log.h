// What is written down of every step. RUN/metrics.jsonl: what it was, a line for each step that stands, the same
// whoever trained it and however often it was stopped. RUN/timing.jsonl: how long it took, whenever it was done.
// RUN/tensorboard, if wanted: both, for TensorBoard.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/event_file.h"
#include "run/metrics.h"
#include "run/run_directory.h"
#include "train/trainer.h"

namespace switchyard {

/// Of rank 0.
class StepLog {
 public:
  explicit StepLog(const RunDirectory& run);

  /// Forgets what is said of steps after this one. Fails (input) where steps before it are missing: then the run's
  /// checkpoint is not this file's.
  void cut_back(int64_t step) const;
  /// Steps from this one on, if there are any up to `last`, are told in event files, too: a session of their own. If
  /// there was none before, it has all steps so far.
  void begin_events(int64_t first_step, int64_t last);
  /// Has the disk take all lines so far.
  void sync();

  struct Step {
    int64_t step = 0, records = 0;
    double learning_rate = 0;
    StepResult result;
    double load = 0;                    ///< the busiest expert's tokens over the mean, of the layer where that is most
    std::vector<double> held_out = {};  ///< mean negative log-probability of all held-out tokens, then by file
  };
  void begin(int64_t step);
  void tell(const Step& step);  ///< a metrics_line()
  /// Once all is done that belongs to the step.
  void tell_timing(const Step& step, const Json& timing);

 private:
  void tell_event(const Json& line);

  const std::filesystem::path metrics_, event_directory_;
  MetricsWriter timing_;
  std::optional<EventFile> events_;
};

/// What metrics.jsonl says of a step.
Json metrics_line(const StepLog::Step& step);

/// Busiest expert over the mean, of the layer where that is most.   tokens: [layers, E]; layers without any: no say
double worst_load(std::span<const int64_t> tokens, int64_t experts);

}  // namespace switchyard
