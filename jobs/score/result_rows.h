// Rows of results: the values of each column that a run has, as they lie in its datasets.
#pragma once

#include "base/tensor.h"
#include "jobs/score/result_columns.h"

namespace switchyard {

struct ColumnValues {
  const ResultColumn* column = nullptr;
  int64_t width = 0;             ///< as the run's options say
  std::vector<std::byte> bytes;  ///< values of column->dtype, row after row
  std::vector<int64_t> offsets;  ///< of a ragged column [rows + 1], else empty

  bool ragged() const { return column->extent == Extent::scored_tokens; }
  int64_t size() const { return std::ssize(bytes) / static_cast<int64_t>(size_of(column->dtype)); }
  ConstView view() const;  ///< [size], or of a matrix [rows, width]
  std::span<const std::byte> row(int64_t row) const;
  bool operator==(const ColumnValues&) const = default;
};

struct ResultRows {
  ResultRows() = default;  ///< without columns
  explicit ResultRows(const ResultOptions& options);

  void append(const ScoredRecord& record);
  void append(const ResultRows& other, int64_t row);  ///< of the same columns
  /// Makes the last row that of a document whose next piece has that row; without rows it is the first piece's.
  void join(const ResultRows& other, int64_t row);
  void renumber_last(int64_t record);  ///< the last row

  std::span<const int64_t> records() const;  ///< the first column
  int64_t token_values() const;              ///< scored tokens; 0 without a ragged column
  bool operator==(const ResultRows&) const = default;

  std::vector<ColumnValues> columns;
};

/// The first column in which these differ, with the values of a single row where it has one each; empty: in none.
std::string difference(const ResultRows& was, const ResultRows& is);

}  // namespace switchyard
