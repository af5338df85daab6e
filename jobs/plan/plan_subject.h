// Of what a plan is made, once for all layouts: the model, what it reads, and a machine's profile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/score/predicted_score.h"
#include "jobs/train/predicted_training.h"

namespace switchyard {

template <class Options>
class PlanSubject;

template <>
class PlanSubject<ScoreOptions> {
 public:
  /// The profile outlives this. routing: a run's directory, or nothing. Fails (input, usage).
  PlanSubject(Runtime& runtime, const ScoreOptions& options, const Profile& profile, const std::string& routing);
  /// Fails (usage, environment) where the layout cannot be.
  Prediction predict(const ScoreOptions& options, const MachineShare& machine) const;

 private:
  const ModelConfig config_;
  const Profile& profile_;
  uint64_t model_bytes_;
  std::vector<double> share_;
  std::optional<ScoringInput> input_;
  InputSize size_;
  RecordLengths lengths_;
  std::vector<std::string> notes_;
};

template <>
class PlanSubject<TrainOptions> {
 public:
  PlanSubject(Runtime& runtime, const TrainOptions& options, const Profile& profile, const std::string& routing);
  Prediction predict(const TrainOptions& options, const MachineShare& machine) const;

 private:
  std::vector<PlannedRecord> records_of(const DataFile& file) const;

  const ModelConfig config_;
  const Profile& profile_;
  const uint64_t model_bytes_;
  const int64_t longest_;  ///< record that is learnt from
  const ChosenParameters chosen_;
  const DataFiles files_;
  PlannedData data_;
};

}  // namespace switchyard
