#pragma once

#include "jobs/prediction/prediction.h"
#include "jobs/train/train_plan.h"

namespace switchyard {

/// What a training run learns from, and is evaluated on.
struct PlannedData {
  std::vector<std::vector<PlannedRecord>> records = {};  ///< [datasets][records]
  std::vector<PlannedRecord> held_out = {};

  std::vector<int64_t> sizes() const;
  int64_t held_out_tokens() const;
  DataSummary summary(const TrainOptions& options, const DataOrder& order) const;
  const PlannedRecord& of(const RecordPlace& place) const {
    return records[static_cast<size_t>(place.dataset)][static_cast<size_t>(place.record)];
  }
};
/// Of some records those that have something to learn, as the model is given them.
std::vector<PlannedRecord> records_to_learn(const RecordLengths& lengths, int64_t count);
/// Those that are kept.
std::vector<PlannedRecord> records_to_learn(const TrainingData::Dataset& data);

/// What a plan will take of a machine like the profile's. model_bytes: of the stored model; 0: there is none.
Prediction predict_training(const TrainOptions& options, const TrainPlan& plan, const ModelConfig& config,
                            const PlannedData& data, const Profile& profile, uint64_t model_bytes);

}  // namespace switchyard
