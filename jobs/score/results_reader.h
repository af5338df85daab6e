// Reads results.h5.
#pragma once

#include <optional>

#include "io/hdf5.h"
#include "jobs/score/result_rows.h"

namespace switchyard {

class ResultsReader {
 public:
  /// Fails (input) unless the file has all columns that `options` ask for, in shapes that fit each other, and with_text
  /// the vocabulary's pieces.
  ResultsReader(const std::filesystem::path& path, const ResultOptions& options);

  int64_t rows() const { return columns_.front().values.rows(); }
  const std::optional<h5::Dataset>& ids() const { return ids_; }
  /// Rows [first, first + count) as a shard would hold them. Fails (input).
  ResultRows read(int64_t first, int64_t count) const;

 private:
  void read_pieces();
  void check_token_ids(const ColumnValues& ids) const;

  struct Column {
    h5::Dataset values;
    std::optional<h5::Dataset> offsets;
  };

  h5::Reader reader_;
  ResultOptions options_;
  std::vector<Column> columns_;
  std::optional<h5::Dataset> ids_;
  int64_t num_pieces_ = 0;  ///< of the vocabulary
};

}  // namespace switchyard
