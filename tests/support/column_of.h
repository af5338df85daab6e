// One column of result rows, by name.
#pragma once

#include <stdexcept>

#include "jobs/score/result_rows.h"

namespace switchyard::test {

inline const ColumnValues& column_of(const ResultRows& rows, std::string_view name) {
  for (const ColumnValues& values : rows.columns)
    if (values.column->name == name) return values;
  throw std::runtime_error("no column " + std::string(name));
}

template <class T>
std::vector<T> values_of(const ResultRows& rows, std::string_view name) {
  const auto values = column_of(rows, name).view().span<T>();
  return {values.begin(), values.end()};
}

}  // namespace switchyard::test
