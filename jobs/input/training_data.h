// The records that a model learns from, or is evaluated on: those of several inputs that have tokens to score.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "comm/communicator.h"
#include "io/input.h"
#include "jobs/input/kept_records.h"
#include "train/data/data_order.h"

namespace switchyard {

/// Of tokens t₀ … t₍ₗ₋₁₎ the model is given all but the last, and from position `context` − 1 on predicts the next.
struct TrainingRecord {
  std::vector<int32_t> tokens;
  int64_t context = 1;  ///< 1 … tokens.size() − 1
};

class TrainingData {
 public:
  struct Limits {
    int64_t max_positions = 0;  ///< of the model, for a record's tokens
    int64_t max_tokens = 0;     ///< of a record, as was asked for; 0: as many as the model takes
    int64_t vocab_size = 0;     ///< token ids are below it
  };

  /// Reads all of the inputs, each rank its part. Records that a scoring run would reject are counted and left out,
  /// and so are those with nothing to score. Collective; fails (input) on all ranks alike, also where an input has no
  /// record left. poll: called between blocks; may fail.
  TrainingData(Communicator& world, std::vector<ScoringInput> inputs, const Limits& limits,
               const std::function<void()>& poll = {});

  struct Dataset {
    ScoringInput input;
    KeptRecords kept;
    int64_t rejects = 0, nothing_to_score = 0;
    int64_t tokens = 0;  ///< that the model is given when all kept records are read once
    Hash128 hash = {};   ///< of all records' contents and which are kept
  };
  const std::vector<Dataset>& datasets() const { return datasets_; }
  std::vector<int64_t> sizes() const;  ///< [datasets] kept records
  int64_t rejects() const;
  Hash128 hash() const;  ///< of all datasets, in order

  // RecordPlace::record counts kept records.

  /// Tokens that the model is given of a record.
  int64_t tokens(const RecordPlace& place) const;
  /// Fails (input) where the record is no longer what it was.
  TrainingRecord read(const RecordPlace& place) const;

  /// That a step of so many records is given on average. weights: of the datasets, or empty, as DataOrder has them.
  int64_t mean_step_tokens(int64_t step_records, std::span<const double> weights) const;

 private:
  const Dataset& dataset(const RecordPlace& place) const { return datasets_[static_cast<size_t>(place.dataset)]; }
  Limits limits_;
  std::vector<Dataset> datasets_;
};

}  // namespace switchyard
