// From a step's number to this rank's part of it.
#pragma once

#include <functional>

#include "jobs/input/training_data.h"
#include "train/parameters/train_ranks.h"
#include "train/pass/step_batch.h"

namespace switchyard {

class StepLoader {
 public:
  /// All outlive this.
  StepLoader(const TrainingData& data, const DataOrder& order, const TrainRanks& ranks)
      : data_(data), order_(order), ranks_(ranks) {}

  /// Reads the records of this rank's slices. step: counted from 1. Collective over the world; fails (input) on all
  /// ranks alike where a record cannot be read.
  StepBatch load(int64_t step) const;

 private:
  const TrainingData& data_;
  const DataOrder& order_;
  const TrainRanks& ranks_;
};

/// The most of some steps.
struct StepSizes {
  int64_t rank_tokens = 0, slice_tokens = 0;  ///< of any rank, slice
  int64_t record_tokens = 0;                  ///< of the longest record
};
/// Of steps 1 … `steps` on so many ranks: from the lengths alone. tokens: that the model is given of a record
StepSizes largest_step(const std::function<int64_t(const RecordPlace&)>& tokens, const DataOrder& order, int64_t steps,
                       int64_t slices, int ranks);

}  // namespace switchyard
