#pragma once

#include "jobs/prediction/prediction.h"
#include "jobs/score/plan.h"

namespace switchyard {

/// What a plan will take of a machine like the profile's. share: as ScoringSteps has it; model_bytes: of the stored
/// model.
Prediction predict_scoring(const ScoreOptions& options, const ScorePlan& plan, const RecordLengths& lengths,
                           const Profile& profile, const std::vector<double>& share, uint64_t model_bytes);

}  // namespace switchyard
