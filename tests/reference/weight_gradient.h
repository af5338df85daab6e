#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/slice_tree.h"
#include "reference/linear.h"

namespace switchyard::reference {

/// Σ dy[r,:]ᵀ x[r,:] over rows [first, end): [n, k].   dy: [rows, n]; x: [rows, k]
template <class Dy, class X>
std::vector<Bounded> weight_gradient(const Dy& dy, const X& x, int64_t n, int64_t k, int64_t first, int64_t end) {
  std::vector<Bounded> gradient;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      gradient.push_back(dot(
          [&](int64_t r) {
            return Bounded{dy.at((first + r) * n + i), 0};
          },
          [&](int64_t r) { return x.at((first + r) * k + j); }, end - first));
  return gradient;
}

/// The sum of a(r) · b(r) over a node's rows as it is defined, in f32. offsets: where each slice begins, by its index;
/// squared: of each slice the square of its sum.
template <class A, class B, class Offset>
float sum_up_the_tree(const A& a, const B& b, const Offset& offset, const SliceRange& node, bool squared = false) {
  if (node.count() > 1) {
    const int64_t middle = node.first + node.count() / 2;
    return sum_up_the_tree(a, b, offset, {node.first, middle}, squared) +
           sum_up_the_tree(a, b, offset, {middle, node.end}, squared);
  }
  float sum = 0;
  for (int64_t r = offset(node.first); r < offset(node.end); ++r) sum = std::fma(a(r), b(r), sum);
  return squared ? sum * sum : sum + 0.0f;
}

}  // namespace switchyard::reference
