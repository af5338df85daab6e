// What of a model that was trained is another than before, counted while it is written.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "model/checkpoint/checkpoint_rows.h"
#include "model/export/export_plan.h"

namespace switchyard {

class ExportChanges {
 public:
  /// Against a base with its deltas: f32 values that they keep are what training began with. Fails (input).
  ExportChanges(const std::filesystem::path& base, std::span<const std::filesystem::path> deltas,
                const ModelConfig& config);

  /// A SeePiece (model_writer.h). Fails (input) where the base cannot be read any more.
  void see(const ExportTensor& tensor, std::span<const ParameterRows> piece, std::span<const float> values);

  int64_t elements() const { return elements_; }
  int64_t changed() const { return changed_; }    ///< that are written as another number than the base's would be
  int64_t vanished() const { return vanished_; }  ///< that are another number, which rounding makes the base's

 private:
  const Checkpoint checkpoint_;
  const TensorTable table_;
  CheckpointRows rows_;
  std::vector<float> base_;
  std::vector<std::byte> written_, written_base_;
  int64_t elements_ = 0, changed_ = 0, vanished_ = 0;
};

}  // namespace switchyard
