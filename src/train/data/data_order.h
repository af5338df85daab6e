// Which records a step has: a pure function of the data's sizes, their weights, the seed and the step. Nothing else is
// kept between steps, and nothing of it depends on ranks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "train/data/mixture.h"

namespace switchyard {

/// A record of one of several datasets.
struct RecordPlace {
  int64_t dataset = 0, record = 0;
  bool operator==(const RecordPlace&) const = default;
};

enum class RecordOrder : uint8_t { shuffled, file };

/// An endless sequence of records, of which every step takes the next `step_records`.
///
/// Without weights all records of all datasets are one collection; with weights each dataset is a collection of its
/// own, and they take turns (Mixture). A collection is read through again and again: shuffled, in another order each
/// time, or as it is.
class DataOrder {
 public:
  struct Options {
    std::vector<int64_t> sizes;        ///< [datasets] records, at least one each
    std::vector<double> weights = {};  ///< [datasets], or empty
    int64_t step_records = 1;
    RecordOrder order = RecordOrder::shuffled;
    uint64_t seed = 0;
  };
  /// Fails as Mixture does.
  explicit DataOrder(Options options);

  RecordPlace place(int64_t position) const;             ///< of the sequence, from 0
  std::vector<RecordPlace> records(int64_t step) const;  ///< [step_records], of a step counted from 1

  int64_t num_records() const { return first_.back(); }  ///< of all datasets
  /// How many steps see as many records as the datasets have, `epochs` times: without weights each so often, and a few
  /// once more where the last step is not filled by that. Fails (usage) where that is beyond counting.
  int64_t steps_in(int64_t epochs) const;

 private:
  Options options_;
  std::vector<int64_t> first_;  ///< [datasets + 1]: where each begins, if all are laid end to end
  Mixture mixture_;             ///< of the collections
};

}  // namespace switchyard
