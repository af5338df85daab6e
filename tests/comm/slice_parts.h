// Slices' parts of a vector, and the sums up the tree as it is defined.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/rng.h"
#include "base/slice_tree.h"

namespace switchyard::test {

/// Of different magnitudes, so that another order of adding has another sum.
inline float slice_part(int64_t slice, int64_t element) {
  const auto s = static_cast<uint64_t>(slice), e = static_cast<uint64_t>(element);
  return std::ldexp(random_normal(s, e), static_cast<int>(random_bits(e, s) % 12));
}

inline float node_sum(const SliceRange& node, int64_t element) {
  if (node.count() == 1) return slice_part(node.first, element);
  const int64_t middle = node.first + node.count() / 2;
  return node_sum({node.first, middle}, element) + node_sum({middle, node.end}, element);
}

}  // namespace switchyard::test
