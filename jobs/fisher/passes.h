// What goes through the model for Fisher information: records, once for each draw of their labels, or, for exact
// labels, the prefix before each position once for every class.
#pragma once

#include <cstdint>
#include <vector>

#include "jobs/fisher/options.h"
#include "jobs/input/training_data.h"
#include "train/parameters/train_ranks.h"
#include "train/pass/step_batch.h"

namespace switchyard {

class FisherPasses {
 public:
  /// data outlives this. Exact labels read all records for their contexts; fails (usage) where they take more tokens
  /// than
  /// --exact-limit, with how many.
  FisherPasses(const TrainingData& data, const FisherOptions& options, int64_t vocab_size);

  int64_t count() const { return count_; }
  int64_t num_records() const { return num_records_; }  ///< that are taken
  /// How often a target is among the passes: its labels are that many.
  int64_t passes_per_target() const { return exact_ ? vocab_size_ : draws_; }
  int64_t tokens(int64_t pass) const;  ///< that the model is given
  int64_t steps() const { return (count_ + step_records_ - 1) / step_records_; }
  /// [first, first + count) of a step counted from 1; the last one may have fewer.
  std::pair<int64_t, int64_t> of_step(int64_t step) const;

  /// This rank's part of a step, at most a pass a slice. Collective over the world; fails (input) on all ranks alike
  /// where a record cannot be read.
  StepBatch load(int64_t step, const TrainRanks& ranks) const;

 private:
  struct Pass {
    RecordPlace place;
    int64_t draw = 0;               ///< of sampled labels
    int64_t target = 0, label = 0;  ///< of exact ones: the position that is predicted, and its class
  };
  Pass pass(int64_t index) const;
  void add(const Pass& pass, StepBatch& batch) const;

  const TrainingData& data_;
  const bool exact_, sampled_;
  const int64_t draws_, vocab_size_, step_records_;
  const uint64_t seed_;
  const DataOrder order_;
  int64_t num_records_ = 0, count_ = 0;
  std::vector<int64_t> first_pass_;  ///< [records + 1] of exact labels
  std::vector<int64_t> context_;     ///< [records] likewise
};

}  // namespace switchyard
