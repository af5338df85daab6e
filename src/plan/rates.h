// How long work takes on a machine, from what work took there: seconds per amount, between the sizes that were tried.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/work.h"
#include "io/json.h"

namespace switchyard {

/// What has been seen of one kind of work at one size, or sizes close to each other.
struct RateSample {
  std::array<double, 4> size = {};  ///< geometric mean; 0 where a kind of work has none
  double amount = 0, seconds = 0;   ///< sums
  int64_t count = 0;
};

/// Of one kind of work, by size.
class RateTable {
 public:
  void add(const Work& work, double seconds);
  /// The same of somebody else's.
  void add(const RateTable& other);

  struct Price {
    double seconds = 0;
    double beyond = 1;  ///< how many times larger, or smaller, a size is than what has been seen; 1: it is between
  };
  /// Seconds per amount are a power of the sizes close by: linear between logarithms, samples weighed by how near they
  /// are. Beyond what has been seen they stay as they are at its edge.
  Price price(const Work& work) const;

  const std::vector<RateSample>& samples() const { return samples_; }
  void add_sample(const RateSample& sample);

 private:
  std::vector<RateSample> samples_;
  std::map<std::array<int, 4>, size_t> cells_;  // where each lies
};

/// Of all kinds, by the op's name and the operands' type.
class Rates {
 public:
  void add(const Work& work, double seconds) {
    if (work.amount > 0) tables_[key_of(work)].add(work, seconds);
  }
  void add(const WorkLog& log);
  void add(const Rates& other);

  /// Null: nothing of the kind has been seen.
  const RateTable* find(const Work& work) const;

  using Key = std::pair<std::string, DType>;
  void add_sample(const Key& key, const RateSample& sample) { tables_[key].add_sample(sample); }
  const std::map<Key, RateTable>& tables() const { return tables_; }

 private:
  static Key key_of(const Work& work) { return {work.name, work.dtype}; }
  std::map<Key, RateTable> tables_;
};

Json to_json(const Rates& rates);
/// Fails (input) naming the subject and the field.
Rates rates_from_json(const Json& json, std::string_view subject);

}  // namespace switchyard
