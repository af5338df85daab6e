#include "import/table_source.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/json.h"

namespace switchyard {
namespace {

constexpr size_t kMaxNamedColumns = 32;

}  // namespace

TableSource::TableSource(const std::string& path, std::string name, char separator, const EncodeRules& rules,
                         uint64_t max_row_bytes, std::function<void()> poll)
    : name_(std::move(name)), reader_(rules), rows_(path, separator, max_row_bytes, std::move(poll)) {
  std::vector<std::string> others;
  for (const std::string& column : rows_.columns()) {
    is_known_.push_back(reader_.knows(column));
    if (!is_known_.back() && others.size() < kMaxNamedColumns) others.push_back(brief(column));
  }
  if (!others.empty())
    log::info("{}: columns of no meaning here are ignored: {}{}", path, fmt::join(others, ", "),
              others.size() == kMaxNamedColumns ? ", …" : "");
}

bool TableSource::next(std::vector<RawDocument>& documents) {
  for (size_t bytes = 0; bytes < kBatchBytes && documents.size() < kBatchDocuments;) {
    RawDocument row;
    if (!rows_.next(row)) return !documents.empty();
    for (const std::string& cell : row.cells) bytes += cell.size();
    documents.push_back(std::move(row));
  }
  return true;
}

Document TableSource::encode(RawDocument raw) const {
  Document document = document_of_line(rows_.path(), name_, raw);
  if (!document.reject.empty()) return document;
  or_reject(document, [&] {
    const std::vector<std::string>& columns = rows_.columns();
    if (raw.cells.size() != columns.size())
      fail(ExitCode::input, "row of {} cells: expected {}, as many as columns", raw.cells.size(), columns.size());
    Json record = Json::object();
    const FieldNames& fields = reader_.fields();
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& name = columns[i];
      if (!is_utf8(raw.cells[i])) fail(ExitCode::input, "column {}: the cell is not UTF-8", brief(name));
      const bool may_be_empty = name == fields.text || name == fields.context || name == fields.continuation;
      if (is_known_[i] && (may_be_empty || !raw.cells[i].empty())) record[name] = std::move(raw.cells[i]);
    }
    reader_.read(record, document);
  });
  return document;
}

std::optional<SourceIdentity> TableSource::identity() const {
  return identity_of(rows_.path(), rows_.bytes());
}

}  // namespace switchyard
