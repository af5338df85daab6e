#include "jobs/score/results_reader.h"

#include <algorithm>

#include "jobs/score/results.h"

namespace switchyard {
namespace {

void expect_shape(const h5::Dataset& dataset, const std::vector<int64_t>& shape) {
  if (dataset.shape() != shape)
    fail(ExitCode::input, "results.h5: {}: expected shape [{}], found [{}]", dataset.name(), fmt::join(shape, ", "),
         fmt::join(dataset.shape(), ", "));
}

/// Values [first, first + count), or rows of a matrix.
void read_values(const h5::Dataset& dataset, int64_t first, int64_t count, ColumnValues& out) {
  const DType dtype = out.column->dtype;
  const int64_t elements = count * (out.ragged() ? 1 : out.width);
  out.bytes.resize(static_cast<size_t>(elements) * size_of(dtype));
  dataset.read(first, View{out.bytes.data(), {elements}, dtype});
}

}  // namespace

ResultsReader::ResultsReader(const std::filesystem::path& path, const ResultOptions& options)
    : reader_(path), options_(options) {
  for (const ColumnValues& values : ResultRows(options).columns) {
    Column& column = columns_.emplace_back();
    column.values = reader_.open(values.column->values_dataset());
    switch (values.column->extent) {
      case Extent::scalar:
        expect_shape(column.values, {rows()});
        break;
      case Extent::vector:
        expect_shape(column.values, {rows(), values.width});
        break;
      case Extent::scored_tokens:
        expect_shape(column.values, {column.values.rows()});
        column.offsets = reader_.open(values.column->offsets_dataset());
        expect_shape(*column.offsets, {rows() + 1});
    }
  }
  if (reader_.has("id")) expect_shape(ids_.emplace(reader_.open("id")), {rows()});
  if (options.with_text) read_pieces();
}

void ResultsReader::read_pieces() {
  const h5::Dataset values = reader_.open(kPieceValues), offsets = reader_.open(kPieceOffsets);
  expect_shape(values, {values.rows()});
  expect_shape(offsets, {offsets.rows()});
  std::vector<int64_t> ends(static_cast<size_t>(offsets.rows()));
  offsets.read(0, std::span(ends));
  if (ends.empty() || ends.front() != 0 || !std::ranges::is_sorted(ends) || ends.back() != values.rows())
    fail(ExitCode::input, "results.h5: {}: expected to rise from 0 to the {} rows of {}", kPieceOffsets, values.rows(),
         kPieceValues);
  num_pieces_ = std::ssize(ends) - 1;
}

void ResultsReader::check_token_ids(const ColumnValues& ids) const {
  for (const int32_t id : ids.view().span<int32_t>())
    if (id < 0 || id >= num_pieces_)
      fail(ExitCode::input, "results.h5: {}: expected ids below {}, the number of pieces, found {}",
           ids.column->values_dataset(), num_pieces_, id);
}

ResultRows ResultsReader::read(int64_t first, int64_t count) const {
  ResultRows rows(options_);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    ColumnValues& out = rows.columns[i];
    if (!column.offsets) {
      read_values(column.values, first, count, out);
      continue;
    }
    out.offsets.resize(static_cast<size_t>(count + 1));
    column.offsets->read(first, std::span(out.offsets));
    const int64_t begin = out.offsets.front(), end = out.offsets.back();
    if (begin < 0 || !std::ranges::is_sorted(out.offsets) || end > column.values.rows())
      fail(ExitCode::input, "results.h5: {}: rows {} to {} do not rise within {}", column.offsets->name(), first,
           first + count, column.values.name());
    read_values(column.values, begin, end - begin, out);
    if (out.column->name == kTokenId) check_token_ids(out);
    for (int64_t& offset : out.offsets) offset -= begin;
  }
  return rows;
}

}  // namespace switchyard
