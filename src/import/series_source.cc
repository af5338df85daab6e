#include "import/series_source.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/json.h"

namespace switchyard {
namespace {

Bins bins_of(const Tokenizer& tokenizer) {
  const std::optional<Bins> bins = Bins::parse(tokenizer.kind());
  if (!bins)
    fail(ExitCode::usage, "--columns: numbers become tokens by bins (--tokenizer bins:COUNT:LOW:HIGH), not by {}",
         tokenizer.name());
  return *bins;
}

}  // namespace

SeriesSource::SeriesSource(const std::string& path, std::string name, char separator, const EncodeRules& rules,
                           const std::vector<std::string>& columns, uint64_t max_row_bytes, std::function<void()> poll)
    : name_(std::move(name)),
      rules_(rules),
      bins_(bins_of(*rules.tokenizer)),
      rows_(path, separator, max_row_bytes, std::move(poll)) {
  for (const std::string& column : columns) {
    const auto found = std::ranges::find(rows_.columns(), column);
    if (found == rows_.columns().end())
      fail(ExitCode::input, "{}: there is no column {}; it has {}", path, brief(column),
           fmt::join(rows_.columns(), ", "));
    columns_.push_back(static_cast<size_t>(found - rows_.columns().begin()));
  }
  ended_ = !read_row();
}

bool SeriesSource::read_row() {
  if (!rows_.next(row_)) return false;
  if (!row_.reject.empty())
    fail(ExitCode::input, "{}:{}: {}; a series has no holes", rows_.path(), row_.number, row_.reject);
  if (rows_.columns().size() == 1 && rows_.blank_line() > 0)  // which is how an empty cell is written there
    fail(ExitCode::input, "{}:{}: an empty cell; a series has no holes", rows_.path(), rows_.blank_line());
  if (row_.cells.size() != rows_.columns().size())
    fail(ExitCode::input, "{}:{}: row of {} cells: expected {}, as many as columns", rows_.path(), row_.number,
         row_.cells.size(), rows_.columns().size());
  return true;
}

void SeriesSource::add_row(std::string& numbers) {
  for (const size_t column : columns_) {
    const std::string& cell = row_.cells[column];
    const std::optional<double> value = parse_number(cell);
    if (!value)
      fail(ExitCode::input, "{}:{}: column {}: expected a number, found {}", rows_.path(), row_.number,
           brief(rows_.columns()[column]), brief(cell));
    ++numbers_;
    outside_ += bins_.holds(*value) ? 0 : 1;
    numbers += ' ' + cell;
  }
}

bool SeriesSource::next(std::vector<RawDocument>& documents) {
  if (ended_ && begun_) return false;
  RawDocument part{.number = ended_ ? 1 : row_.number, .begins = !std::exchange(begun_, true)};
  if (ended_) part.reject = "empty: the table has no rows";
  for (size_t rows = 0; !ended_ && rows < kBatchDocuments && part.text.size() < kBatchBytes; ++rows) {
    add_row(part.text);
    ended_ = !read_row();
  }
  part.ends = ended_;
  documents.push_back(std::move(part));
  if (ended_ && outside_ > 0)
    log::warning("{}: {} of {} numbers lie outside {} to {} and are in the first or the last bin", rows_.path(),
                 outside_, numbers_, bins_.low, bins_.high);
  return true;
}

Document SeriesSource::encode(RawDocument raw) const {
  Document document;
  document.source = rows_.path();
  document.id = name_;
  document.reject = raw.reject;
  document.begins = raw.begins;
  document.ends = raw.ends;
  document.is_text = true;
  rules_.tokenizer->encode(raw.text, document.tokens);
  return document;
}

std::optional<SourceIdentity> SeriesSource::identity() const {
  return identity_of(rows_.path(), rows_.bytes());
}

}  // namespace switchyard
