#pragma once

#include <string>

#include "report/bins.h"
#include "report/numbers.h"

namespace switchyard::report {

/// How often values of each size come, from the least to the largest that comes.
struct Histogram {
  std::string title = {};
  std::string value_name = {};  ///< under the axis: "tokens per record"
  Unit value_unit = kNumber;
  Unit counted = kCount;  ///< kRecords, kDocuments, kTokens
  Bins bins;
};
std::string render(const Histogram& histogram);

}  // namespace switchyard::report
