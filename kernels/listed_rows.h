// Rows that an op takes where they lie, so that nobody has to copy them together first.
#pragma once

#include <algorithm>
#include <concepts>
#include <span>

#include "base/tensor.h"

namespace switchyard {

/// Rows of a matrix: those of a list, in its order, or all.
struct ListedRows {
  template <std::convertible_to<ConstView> Matrix>
  ListedRows(const Matrix& all) : of(all) {}
  ListedRows(ConstView matrix, std::span<const int32_t> rows) : of(matrix), list(rows) {}

  ConstView of;
  std::span<const int32_t> list = {};  ///< in host memory; empty: all rows

  int64_t count() const { return list.empty() ? of.rows() : std::ssize(list); }
  int64_t operator[](int64_t i) const { return list.empty() ? i : list[static_cast<size_t>(i)]; }
  bool exist() const {
    return std::ranges::all_of(list, [rows = of.rows()](int32_t row) { return row >= 0 && row < rows; });
  }
  bool lies_on(Device device) const { return of.data == nullptr || of.device == device; }
};

}  // namespace switchyard
