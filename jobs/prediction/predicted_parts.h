// What the predictions of all jobs have in common.
#pragma once

#include "jobs/prediction/prediction.h"

namespace switchyard {

/// Seconds until a rank has its part of the model, which is stored in so many bytes, to compute with or to train.
double predict_load(PriceList& prices, const ModelConfig& config, DType operand, int ep, uint64_t model_bytes,
                    bool trained);

/// A file of so many bytes, committed.
double predict_commit(PriceList& prices, double bytes);

/// If all ranks did nothing but these operations, at the best rate of any product that was seen in this layout.
double predict_by_operations(const Profile& profile, const PlannedLayout& layout, DType operand, double operations,
                             int ranks);

}  // namespace switchyard
