// What can be told of an input before it is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "io/input.h"

namespace switchyard {

struct InputSize {
  std::string path;
  int64_t records = 0, tokens = 0;
  int64_t longest = 1;                    ///< record that the model can take
  std::optional<int64_t> documents = {};  ///< of a joined input: its records are their pieces
};

/// Each rank reads its part of the offsets. Collective; fails (input) on all ranks alike.
InputSize size_of(Communicator& world, const ScoringInput& input, int64_t max_positions);

/// What the first rank knows, for all. Collective.
void share(Communicator& world, InputSize& size);

}  // namespace switchyard
