// Comparisons that name the worst element and both its values.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "reference/bounded.h"
#include "support/tensor.h"

namespace switchyard::test {

inline constexpr double kBFloat16Epsilon = 0x1p-8;  // half a unit in the last place, relative

/// |got − want.value| ≤ want.bound, element by element; a bf16 result may also be off by its own rounding.
inline testing::AssertionResult close(const Tensor& got, const std::vector<reference::Bounded>& want) {
  if (static_cast<size_t>(got.size()) != want.size())
    return testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  double worst = 0;
  size_t where = 0, wrong = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double value = got.at(static_cast<int64_t>(i));
    double bound = want[i].bound + 0x1p-126;
    if (got.dtype() == DType::bf16) bound += kBFloat16Epsilon * (std::abs(want[i].value) + bound);
    double excess = std::abs(value - want[i].value) / bound;
    if (std::isnan(value) || std::isnan(excess)) excess = INFINITY;
    wrong += excess > 1;
    if (excess > worst) worst = excess, where = i;
  }
  if (wrong == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << fmt::format("{} of {} elements off; worst at {}: got {}, expected {} ± {}",
                                                    wrong, want.size(), where, got.at(static_cast<int64_t>(where)),
                                                    want[where].value, want[where].bound);
}

/// Row `i` of a and row `j` of b, bit for bit.
inline testing::AssertionResult same_row_bits(const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
  if (a.dtype() != b.dtype() || a.row_bytes() != b.row_bytes())
    return testing::AssertionFailure() << "rows of different types or lengths";
  if (std::memcmp(a.row(i), b.row(j), a.row_bytes()) == 0) return testing::AssertionSuccess();
  const int64_t n = a.view().row_elements();
  for (int64_t c = 0; c < n; ++c) {
    const auto element = static_cast<size_t>(c) * size_of(a.dtype());
    if (std::memcmp(a.row(i) + element, b.row(j) + element, size_of(a.dtype())) != 0)
      return testing::AssertionFailure() << fmt::format("row {} and row {} differ from column {} on: {:a} and {:a}", i,
                                                        j, c, a.at(i * n + c), b.at(j * n + c));
  }
  return testing::AssertionFailure() << "unreachable";
}

inline testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.view().shape != b.view().shape)
    return testing::AssertionFailure() << a.view().shape.str() << " and " << b.view().shape.str();
  for (int64_t r = 0; r < a.view().rows(); ++r)
    if (auto result = same_row_bits(a, r, b, r); !result) return result;
  return testing::AssertionSuccess();
}

}  // namespace switchyard::test
