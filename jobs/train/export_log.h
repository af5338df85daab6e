// What a training run has changed of the model it began with, counted while its own is exported: RUN/changes.json.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/json.h"
#include "jobs/train/options.h"
#include "model/delta/export_changes.h"
#include "train/selection/selection.h"

namespace switchyard {

/// Elements of a model.
struct ChangeCounts {
  int64_t parameters = 0, trained = 0, changed = 0, vanished = 0;
};

Json to_json(const ChangeCounts& changes);
/// As a run's changes.json has them; empty where there is none. Fails (input).
std::optional<ChangeCounts> read_changes(const RunDirectory& run);

/// Rank 0's. What cannot be told, because the base is gone, is said in a warning and does not stop an export.
class ExportLog {
 public:
  /// Of a run that began with a model; of any other it counts nothing.
  ExportLog(const TrainOptions& options, const ModelConfig& config, const Selection& selection);

  /// A SeePiece (model_writer.h).
  void see(const ExportTensor& tensor, std::span<const ParameterRows> piece, std::span<const float> values);
  /// When the model is there: a line, and the file.
  void finish(const RunDirectory& run);

 private:
  template <class Step>
  void attempt(const Step& step);

  const int64_t trained_;
  std::unique_ptr<ExportChanges> changes_;  ///< null: there is nothing to count, or no way
  std::string dtypes_;
};

}  // namespace switchyard
