// What is written down of every step. RUN/metrics.jsonl: what it was, a line for each step that stands, the same
// whoever trained it and however often it was stopped. RUN/timing.jsonl: how long it took, whenever it was done.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

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
  /// Has the disk take all lines so far.
  void sync() const;

  struct Step {
    int64_t step = 0, records = 0;
    double learning_rate = 0;
    StepResult result;
    double load = 0;                    ///< the busiest expert's tokens over the mean, of the layer where that is most
    std::vector<double> held_out = {};  ///< mean negative log-probability of all held-out tokens, then by file
  };
  void begin(int64_t step);
  void tell(const Step& step);
  /// Once all is done that belongs to the step.
  void tell_timing(int64_t records, const Json& timing) { timing_.tell(records, timing); }

 private:
  const std::filesystem::path metrics_;
  MetricsWriter timing_;
};

/// Busiest expert over the mean, of the layer where that is most.   tokens: [layers, E]; layers without any: no say
double worst_load(std::span<const int64_t> tokens, int64_t experts);

}  // namespace switchyard
