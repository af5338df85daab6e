#include "jobs/score/result_rows.h"

#include <cstring>

namespace switchyard {

ConstView ColumnValues::view() const {
  const int64_t values = size();
  const Shape shape = column->extent == Extent::vector ? Shape{values / width, width} : Shape{values};
  return {bytes.data(), shape, column->dtype, Device::cpu};
}

std::span<const std::byte> ColumnValues::row(int64_t row) const {
  const int64_t first = ragged() ? offsets[static_cast<size_t>(row)] : row * width;
  const int64_t count = ragged() ? offsets[static_cast<size_t>(row) + 1] - first : width;
  const size_t element = size_of(column->dtype);
  return std::span(bytes).subspan(static_cast<size_t>(first) * element, static_cast<size_t>(count) * element);
}

ResultRows::ResultRows(const ResultOptions& options) {
  for (const ResultColumn& column : result_columns()) {
    const int64_t width = column.width(options);
    if (width == 0) continue;
    columns.push_back({&column, width, {}, {}});
    if (columns.back().ragged()) columns.back().offsets.push_back(0);
  }
}

void ResultRows::append(const ScoredRecord& record) {
  for (ColumnValues& values : columns) {
    const int64_t before = values.size(), expected = values.width * (values.ragged() ? std::ssize(record.logprob) : 1);
    values.column->append(record, values.bytes);
    SWITCHYARD_CHECK(values.size() - before == expected, "{}: {} values for record {}, expected {}",
                     values.column->name, values.size() - before, record.record, expected);
    if (values.ragged()) values.offsets.push_back(values.size());
  }
}

void ResultRows::append(const ResultRows& other, int64_t row) {
  for (size_t i = 0; i < columns.size(); ++i) {
    ColumnValues& values = columns[i];
    const auto bytes = other.columns[i].row(row);
    values.bytes.insert(values.bytes.end(), bytes.begin(), bytes.end());
    if (values.ragged()) values.offsets.push_back(values.size());
  }
}

void ResultRows::join(const ResultRows& other, int64_t row) {
  if (records().empty()) return append(other, row);
  for (size_t i = 0; i < columns.size(); ++i) {
    ColumnValues& values = columns[i];
    values.column->join(values.bytes, other.columns[i].row(row));
    if (values.ragged()) values.offsets.back() = values.size();
  }
}

void ResultRows::renumber_last(int64_t record) {
  std::vector<std::byte>& bytes = columns.front().bytes;
  std::memcpy(bytes.data() + bytes.size() - sizeof record, &record, sizeof record);
}

std::span<const int64_t> ResultRows::records() const {
  return columns.empty() ? std::span<const int64_t>() : columns.front().view().span<int64_t>();
}

int64_t ResultRows::token_values() const {
  for (const ColumnValues& values : columns)
    if (values.ragged()) return values.size() / values.width;
  return 0;
}

std::string difference(const ResultRows& was, const ResultRows& is) {
  for (size_t i = 0; i < was.columns.size(); ++i) {
    const ColumnValues &a = was.columns[i], &b = is.columns[i];
    if (a == b) continue;
    const ResultColumn& column = *a.column;
    if (column.extent != Extent::scalar || a.size() != 1 || b.size() != 1)
      return fmt::format("{} differs", column.name);
    return fmt::format("{} was {}, is {}", column.name, column.text(a.bytes.data()), column.text(b.bytes.data()));
  }
  return {};
}

}  // namespace switchyard
