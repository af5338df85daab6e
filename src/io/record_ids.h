// The ids of a range of records: strings or integers, as the input has them.
#pragma once

#include <variant>
#include <vector>

#include "base/hash.h"
#include "io/input.h"
#include "io/json.h"

namespace switchyard {

class RecordIds {
 public:
  /// Of records [first, first + count) of an input that has ids.
  RecordIds(const ScoringInput& input, int64_t first, int64_t count) : RecordIds(*input.ids(), first, count) {}
  /// Rows of a dataset of ids.
  RecordIds(const h5::Dataset& ids, int64_t first, int64_t count);
  /// None yet, of the kind that an input's are.
  explicit RecordIds(const ScoringInput& input);
  void append(const RecordIds& others, int64_t i);  ///< the i-th of others, of the same kind

  /// Of their kind and of each of them.
  Hash128 hash() const;
  Json json(int64_t i) const;  ///< of the i-th of the range

  bool are_strings() const { return ids_.index() == 0; }
  const std::vector<std::string>& strings() const { return std::get<0>(ids_); }
  const std::vector<int64_t>& integers() const { return std::get<1>(ids_); }

 private:
  std::variant<std::vector<std::string>, std::vector<int64_t>> ids_;
};

/// Hash of the ids of a chunk, given in blocks of kBlock records from its first on (the last may be shorter).
class IdHasher {
 public:
  static constexpr int64_t kBlock = int64_t{1} << 16;
  void add(const RecordIds& block) {
    const Hash128 hash = block.hash();
    hasher_.update(&hash, sizeof hash);
  }
  Hash128 digest() const { return hasher_.digest(); }

 private:
  Hasher hasher_;
};

}  // namespace switchyard
