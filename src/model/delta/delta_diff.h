// What two deltas change, element by element.
#pragma once

#include <map>
#include <string>

#include "io/delta_file.h"

namespace switchyard {

/// Elements that one of two deltas changes, or both.
struct DeltaOverlap {
  uint64_t only_first = 0, only_second = 0, alike = 0, otherwise = 0;

  DeltaOverlap& operator+=(const DeltaOverlap& other);
};

struct DeltaDifference {
  bool successive = false;  ///< the second begins where the first leads to, or the first where the second does
  std::map<std::string, DeltaOverlap> tensors;
  DeltaOverlap all;
};

/// Fails (input) unless both begin with one model, or one follows the other. Of deltas that follow each other "alike"
/// are elements that the later one takes back.
DeltaDifference compare_deltas(const DeltaFile& first, const DeltaFile& second);

}  // namespace switchyard
