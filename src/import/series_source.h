// A series of numbers from CSV and TSV: rows are steps in time, some columns' numbers, in order, the tokens of one
// document.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"
#include "import/table_reader.h"
#include "tokens/bins.h"

namespace switchyard {

/// A series has no holes: a row that cannot be read, and a cell that is no number, fail (input) with line and column.
/// What lies outside the bins is counted, and said at the end.
class SeriesSource : public DocumentSource {
 public:
  /// columns: at least one, in the order of a row's tokens. Fails: input where the table lacks one, usage where the
  /// tokenizer is not of numbers (Bins).
  SeriesSource(const std::string& path, std::string name, char separator, const EncodeRules& rules,
               const std::vector<std::string>& columns, uint64_t max_row_bytes, std::function<void()> poll = {});
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override;

 private:
  bool read_row();
  void add_row(std::string& numbers);
  const std::string name_;
  const EncodeRules rules_;
  const Bins bins_;
  TableReader rows_;
  std::vector<size_t> columns_;  ///< where they stand in a row
  RawDocument row_;              ///< the next one
  bool begun_ = false, ended_ = false;
  int64_t numbers_ = 0, outside_ = 0;
};

}  // namespace switchyard
