// A trained model's parameters, rows of whichever are asked for: for its export.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/steps.h"
#include "model/checkpoint/checkpoint_rows.h"
#include "train/model/trained_model.h"

namespace switchyard {

/// A RowSource (export_plan.h) of the world's rank 0; the others call it for the same rows in the same order, with no
/// room for them. What trains has its masters, sent by their owners; what does not, the values that the model began
/// with.
class TrainedRows {
 public:
  /// base, deltas: what the model began with; read by rank 0, where not everything trains. Fails (input); not
  /// collective.
  TrainedRows(const TrainedModel& model, const std::filesystem::path& base,
              std::span<const std::filesystem::path> deltas);
  ~TrainedRows();

  /// Collective. What cannot be read is undefined.
  void operator()(const ParameterRows& rows, std::span<float> out);
  /// Fails (input) where something could not be read: the others wait for rank 0 until all rows are gathered.
  void rethrow() const { reading_.rethrow(); }

 private:
  struct Base;

  const TrainedModel& model_;
  std::unique_ptr<Base> base_;  ///< rank 0's; null: everything trains
  std::vector<float> frozen_;
  Steps reading_;
};

}  // namespace switchyard
