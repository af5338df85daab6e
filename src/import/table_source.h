// Documents from CSV and TSV: a row is a document, the first row has the columns' names.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"
#include "io/line_reader.h"

namespace switchyard {

/// Quoted as RFC 4180 says, also where tabs separate the cells: a quoted cell may hold separators, line ends and, twice
/// each, quotes. Bad rows become rejects, named by the line that they begin on, and the next line begins
/// another; but a quoted cell that takes the rest of the file fails (input). Blank lines are skipped. An empty cell
/// is an absent field, but for a text. A missing id becomes NAME:LINE.
class TableSource : public DocumentSource {
 public:
  /// name: in ids. poll: see ByteStream. Fails (input) where there are no columns, or two of one name.
  TableSource(const std::string& path, std::string name, char separator, const EncodeRules& rules,
              uint64_t max_row_bytes, std::function<void()> poll = {});
  ~TableSource() override;
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override;

 private:
  class Parser;
  bool next_row(RawDocument& row);
  void read_header();
  const std::string path_, name_;
  const RecordReader reader_;
  const uint64_t max_row_bytes_;
  LineReader lines_;
  std::unique_ptr<Parser> parser_;
  std::vector<std::string> columns_;
  std::vector<bool> is_known_;  ///< by column: it has a meaning
};

}  // namespace switchyard
