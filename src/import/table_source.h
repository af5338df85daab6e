// Documents from CSV and TSV: a row is a document, the first row has the columns' names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"
#include "import/table_reader.h"

namespace switchyard {

/// Bad rows (TableReader) become rejects. An empty cell is an absent field, but for a text. A missing id becomes
/// NAME:LINE.
class TableSource : public DocumentSource {
 public:
  /// name: in ids. poll: see ByteStream. Fails (input) where there are no columns, or two of one name.
  TableSource(const std::string& path, std::string name, char separator, const EncodeRules& rules,
              uint64_t max_row_bytes, std::function<void()> poll = {});
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override;

 private:
  const std::string name_;
  const RecordReader reader_;
  TableReader rows_;
  std::vector<bool> is_known_;  ///< by column: it has a meaning
};

}  // namespace switchyard
