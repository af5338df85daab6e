#include "train/trained_rows.h"

#include <cmath>

#include "train/pass_engine.h"

namespace switchyard {

struct TrainedRows::Base {
  const Checkpoint checkpoint;
  const TensorTable table;
  CheckpointRows rows;

  Base(const std::filesystem::path& path, std::span<const std::filesystem::path> deltas, const ModelConfig& config)
      : checkpoint(path, deltas), table(checkpoint, config, path.native()), rows(table, ReadValues::masters) {}
};

TrainedRows::TrainedRows(const TrainedModel& model, const std::filesystem::path& base,
                         std::span<const std::filesystem::path> deltas)
    : model_(model) {
  if (model.ranks().rank() == 0 && !model.selection().is_everything())
    base_ = std::make_unique<Base>(base, deltas, model.weights().config);
}

TrainedRows::~TrainedRows() = default;

void TrainedRows::operator()(const ParameterRows& rows, std::span<float> out) {
  gather_rows_of(model_, &Shard::master, rows, out);
  if (base_ == nullptr) return;
  frozen_.resize(out.size());
  reading_.run([&] { base_->rows(rows, frozen_); });
  for (size_t i = 0; i < out.size(); ++i)
    if (std::isnan(out[i])) out[i] = frozen_[i];
}

}  // namespace switchyard
