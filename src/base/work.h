// What there is to do: a list of pieces of work, from a stream that only measures; or of what was done and how long it
// took, from one that is timed. Planning is made of the two.
#pragma once

#include <array>
#include <vector>

#include "base/dtype.h"

namespace switchyard {

/// An op's call, or something else that takes a rank's time.
struct Work {
  const char* name = "";     ///< the op's
  DType dtype = DType::f32;  ///< of a product's operands
  double amount = 0;         ///< what its time grows with: a product's operations, the bytes of a pass over memory
  std::array<double, 4> size = {};  ///< what seconds per amount depend on, as the op says it; 0: nothing
};

struct WorkDone {
  Work work;
  double seconds = 0;
};

using WorkLog = std::vector<WorkDone>;

}  // namespace switchyard
