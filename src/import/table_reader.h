// Rows of CSV and TSV; the first has the columns' names.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "io/line_reader.h"

namespace switchyard {

/// Quoted as RFC 4180 says, also where tabs separate the cells: a quoted cell may hold separators, line ends and, twice
/// each, quotes. Bad rows are named by the line that they begin on, and the next line begins another; but a quoted cell
/// that takes the rest of the file fails (input). Blank lines are skipped.
class TableReader {
 public:
  /// poll: see ByteStream. Fails (input) where there are no columns, or two of one name.
  TableReader(const std::string& path, char separator, uint64_t max_row_bytes, std::function<void()> poll = {});
  ~TableReader();
  /// The next row's line and cells, or why it is a reject; false: there is none.
  bool next(RawDocument& row);
  int64_t blank_line() const { return blank_line_; }  ///< the first that was skipped before that row; 0: none was
  const std::string& path() const { return path_; }
  const std::vector<std::string>& columns() const { return columns_; }
  const ByteStream& bytes() const { return lines_.bytes(); }

 private:
  class Parser;
  void read_header();
  const std::string path_;
  const uint64_t max_row_bytes_;
  LineReader lines_;
  std::unique_ptr<Parser> parser_;
  std::vector<std::string> columns_;
  int64_t blank_line_ = 0;
};

}  // namespace switchyard
