#include "import/table_reader.h"

#include <csv.h>

#include <set>
#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {

/// libcsv, fed with a line at a time.
class TableReader::Parser {
 public:
  explicit Parser(char separator) : separator_(separator) { begin(); }
  ~Parser() { ::csv_free(&parser_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  /// A line with its end. True: the row ends with it, or is bad, and the next line begins another.
  bool add(std::string_view line, RawDocument& row) {
    num_rows_ = 0;
    const bool good = ::csv_parse(&parser_, line.data(), line.size(), on_cell, on_row, this) == line.size();
    if (!good)
      row.reject = "a quote in the middle of a cell, or something behind a quoted one";
    else if (num_rows_ > 1)
      row.reject = "a carriage return in the middle of a row";
    else if (num_rows_ == 0)
      return false;
    take(row);
    return true;
  }
  /// The file has ended within a row. False: within a quoted cell.
  bool end(RawDocument& row) {
    const bool good = ::csv_fini(&parser_, on_cell, on_row, this) == 0;
    take(row);
    return good;
  }
  /// As add(), of a row whose cells are not wanted, within a quoted one.
  bool skip(std::string_view line) {
    begin_again();
    ::csv_parse(&parser_, "\"", 1, on_cell, on_row, this);
    RawDocument unwanted;
    return add(line, unwanted);
  }
  void begin_again() {
    ::csv_free(&parser_);
    begin();
  }

 private:
  void take(RawDocument& row) {
    row.cells.swap(cells_);
    begin_again();
  }
  void begin() {
    cells_.clear();
    if (::csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0)
      fail(ExitCode::environment, "libcsv cannot be started");
    ::csv_set_delim(&parser_, static_cast<unsigned char>(separator_));
    ::csv_set_space_func(&parser_, [](unsigned char) { return 0; });  // blanks around a cell are its own
  }
  static void on_cell(void* cell, size_t bytes, void* self) {
    static_cast<Parser*>(self)->cells_.emplace_back(static_cast<const char*>(cell), bytes);
  }
  static void on_row(int /*end*/, void* self) { ++static_cast<Parser*>(self)->num_rows_; }

  const char separator_;
  csv_parser parser_{};
  std::vector<std::string> cells_;
  int num_rows_ = 0;  ///< that the line has ended
};

TableReader::TableReader(const std::string& path, char separator, uint64_t max_row_bytes, std::function<void()> poll)
    : path_(path),
      max_row_bytes_(max_row_bytes),
      lines_(path, max_row_bytes, std::move(poll), LineReader::Ends::keep),
      parser_(std::make_unique<Parser>(separator)) {
  read_header();
}

TableReader::~TableReader() = default;

void TableReader::read_header() {
  RawDocument header;
  if (!next(header)) fail(ExitCode::input, "{}: expected a first row with the columns' names, found none", path_);
  if (!header.reject.empty())
    fail(ExitCode::input, "{}:{}: the columns' names: {}", path_, header.number, header.reject);
  columns_ = std::move(header.cells);
  std::set<std::string> seen;
  for (const std::string& column : columns_) {
    if (!is_utf8(column)) fail(ExitCode::input, "{}:{}: a column's name is not UTF-8", path_, header.number);
    if (!seen.insert(column).second)
      fail(ExitCode::input, "{}:{}: expected the columns' names, each once, found {} twice", path_, header.number,
           brief(column));
  }
}

bool TableReader::next(RawDocument& row) {
  row = {};
  blank_line_ = 0;
  for (uint64_t bytes = 0; lines_.next();) {
    const std::string_view line = lines_.line();
    const bool begins = bytes == 0;
    if (begins && !lines_.too_long() && line.find_first_not_of("\r\n") == line.npos) {
      if (blank_line_ == 0) blank_line_ = lines_.number();
      continue;
    }
    if (begins) row.number = lines_.number();
    bytes += lines_.line_bytes();
    if (bytes > max_row_bytes_) row.reject = fmt::format("row of more than {} bytes", max_row_bytes_);
    if (lines_.too_long()) {  // nothing is known of it but its quotes: whether a cell goes on behind it
      const bool is_odd = lines_.num_quotes() % 2 == 1;
      if (begins == is_odd) continue;
      parser_->begin_again();
      return true;
    }
    if (row.reject.empty() ? parser_->add(line, row) : parser_->skip(line)) return true;
  }
  if (row.number == 0) return false;
  const bool complete = parser_->end(row);
  if (complete && row.reject.empty()) return true;
  if (lines_.number() > row.number)
    fail(ExitCode::input, "{}:{}: a quoted cell of this row does not end: {} lines after it would be lost", path_,
         row.number, lines_.number() - row.number);
  row.reject = "a quoted cell that does not end";
  return true;
}

}  // namespace switchyard
