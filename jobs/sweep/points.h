// The points of a sweep: which value each swept option has at which of them.
#pragma once

#include <cstdint>
#include <vector>

#include "jobs/sweep/sweep_file.h"

namespace switchyard {

/// Points are numbered from 0 in an order that the file alone decides. They take no memory.
class SweepPoints {
 public:
  /// Fails (usage) where a grid has more points than 2^31, or fewer than `mode = random N` wants.
  SweepPoints(const SweepFile& file, std::string_view subject);

  int64_t count() const { return count_; }
  /// Of each swept option the index of its value.
  std::vector<size_t> choices(int64_t point) const;
  /// All options of a point's training, the fixed ones and its choices, as the file has them.
  std::map<std::string, OptionValues> options(int64_t point) const;
  /// What {NAME} stands for there: variables, and options of one value, in which variables' names are replaced.
  std::map<std::string, std::string> names(int64_t point) const;

 private:
  const SweepFile& file_;
  int64_t grid_ = 1;  ///< combinations
  int64_t count_ = 1;
};

}  // namespace switchyard
