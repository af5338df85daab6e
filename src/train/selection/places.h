// A model's parameters as a choice sees them.
#pragma once

#include <optional>
#include <vector>

#include "train/parameters/parameter_space.h"
#include "train/selection/options.h"

namespace switchyard {

/// A parameter, in its block.
struct Place {
  Parameter parameter;
  size_t block = 0;
  int64_t first = 0;  ///< of its elements in the block
  std::optional<SpecialKind> special = {};

  int64_t elements() const { return parameter.shape.elements(); }
};

/// In canonical order.
std::vector<Place> places_in(const ParameterSpace& space);

/// Whether there is a choice of it.
bool is_eligible(const SelectionOptions& o, const Place& place);
/// Whether it trains whatever is chosen.
bool trains_whole(const SelectionOptions& o, const Place& place);

}  // namespace switchyard
