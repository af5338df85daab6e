#include "io/input.h"

#include <algorithm>
#include <numeric>
#include <system_error>

#include "io/foreign_file.h"

namespace switchyard {
namespace {

// Deflate's best is 1032:1. A file that declares more rows than that was made to exhaust its reader.
constexpr uint64_t kMaxRowsPerByte = 1100;

h5::Dataset open_column(const h5::Reader& reader, std::string_view name, std::string_view kinds, bool strings_allowed) {
  h5::Dataset column = reader.open(name);
  if (column.shape().size() != 1)
    fail(ExitCode::input, "{}: {}: expected one dimension, found shape [{}]", reader.path().string(), name,
         fmt::join(column.shape(), ", "));
  if (column.kind() != h5::Kind::integer && !(strings_allowed && column.kind() == h5::Kind::string))
    fail(ExitCode::input, "{}: {}: expected {}, found another type", reader.path().string(), name, kinds);
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(reader.path(), error);
  if (!error && static_cast<uint64_t>(column.rows()) / kMaxRowsPerByte > file_bytes)
    fail(ExitCode::input, "{}: {}: declares {} rows, more than a file of {} bytes holds", reader.path().string(), name,
         column.rows(), file_bytes);
  return column;
}

std::optional<h5::Dataset> open_optional(const h5::Reader& reader, std::string_view name, int64_t num_records,
                                         bool strings_allowed) {
  if (!reader.has(name)) return std::nullopt;
  h5::Dataset column = open_column(reader, name, strings_allowed ? "integers or strings" : "integers", strings_allowed);
  if (column.rows() != num_records)
    fail(ExitCode::input, "{}: {}: expected {} rows, one a record, found {}", reader.path().string(), name, num_records,
         column.rows());
  return column;
}

/// Fails where something else was given than an HDF5 file, saying what it is. (HDF5 may stand behind other data.)
const std::filesystem::path& checked_path(const std::filesystem::path& path) {
  const Content content = content_of(head_of(InputFile(path)));
  const auto refuse = [&](std::string_view advice) {
    fail(ExitCode::input, "{}: expected a scoring input (HDF5), found {}; {}", path.native(), name_of(content), advice);
  };
  if (content == Content::json) refuse("it is taken with --input-format jsonl");
  if (content == Content::text || content == Content::gzip)
    refuse("it is taken with --input-format jsonl, text, csv or tsv");
  if (content == Content::numpy) refuse("make one of it with switchyard import --npy VALUES OFFSETS --output FILE");
  return path;
}

int64_t read_one(const h5::Dataset& column, int64_t row) {
  int64_t value = 0;
  column.read(row, std::span(&value, 1));
  return value;
}

/// A column of offsets: a row more than it has parts, from 0 to `end`. Returns the number of parts.
int64_t check_ends(const h5::Dataset& offsets, const std::string& file, std::string_view parts, int64_t end,
                   std::string_view what_ends) {
  if (offsets.rows() == 0)
    fail(ExitCode::input, "{}: {}: expected a row more than {}, found none", file, offsets.name(), parts);
  const int64_t num_parts = offsets.rows() - 1, first = read_one(offsets, 0), last = read_one(offsets, num_parts);
  if (first != 0) fail(ExitCode::input, "{}: {}: expected 0 first, found {}", file, offsets.name(), first);
  if (last != end)
    fail(ExitCode::input, "{}: {}: expected {} last, the {}, found {}", file, offsets.name(), end, what_ends, last);
  return num_parts;
}

}  // namespace

ScoringInput::ScoringInput(const std::filesystem::path& path)
    : path_(checked_path(path)),
      reader_(path),
      values_(open_column(reader_, "tokens/values", "integers", false)),
      offsets_(open_column(reader_, "tokens/offsets", "integers", false)),
      num_tokens_(values_.rows()) {
  num_records_ = num_documents_ = check_ends(offsets_, path.string(), "records", num_tokens_, "rows of tokens/values");
  context_ = open_optional(reader_, "context", num_records_, false);
  id_ = open_optional(reader_, "id", num_records_, true);
  label_ = open_optional(reader_, "label", num_records_, true);
  if (reader_.has("documents/offsets")) {
    documents_ = open_column(reader_, "documents/offsets", "integers", false);
    num_documents_ = check_ends(*documents_, path.string(), "documents", num_records_, "number of records");
  }
  if (const auto kind = reader_.attribute(TokenizerIdentity::kKind))
    tokenizer_ = {*kind, reader_.attribute(TokenizerIdentity::kHash).value_or("")};
}

bool ScoringInput::ids_are_strings() const {
  return id_ && id_->kind() == h5::Kind::string;
}

std::vector<std::string> ScoringInput::other_datasets() const {
  std::vector<std::string> others = reader_.datasets();
  for (const std::string_view known :
       {std::string_view("tokens/values"), std::string_view("tokens/offsets"), std::string_view("context"),
        std::string_view("id"), std::string_view("label"), std::string_view("documents/offsets"), kOrigin})
    std::erase(others, known);
  return others;
}

std::string ScoringInput::origin() const {
  if (!reader_.has(kOrigin)) return {};
  const h5::Dataset bytes = open_column(reader_, kOrigin, "bytes", false);
  std::vector<uint8_t> text(static_cast<size_t>(bytes.rows()));
  bytes.read(0, std::span(text));
  return {text.begin(), text.end()};
}

std::vector<ScoringInput::Record> ScoringInput::records(int64_t first, int64_t count) const {
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && count <= num_records_ - first, "records {} + {} of {}", first, count,
                   num_records_);
  const auto n = static_cast<size_t>(count);
  std::vector<int64_t> offsets(n + 1), contexts(n, 1);
  offsets_.read(first, std::span(offsets));
  if (context_) context_->read(first, std::span(contexts));
  std::vector<Record> out(n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t begin = offsets[i], end = offsets[i + 1], index = first + static_cast<int64_t>(i);
    if (begin < 0 || end < begin || end > num_tokens_)
      fail(ExitCode::input, "{}: tokens/offsets: record {}: expected 0 <= begin <= end <= {}, found [{}, {}]",
           path_.string(), index, num_tokens_, begin, end);
    out[i] = {index, begin, end - begin, contexts[i]};
  }
  return out;
}

void ScoringInput::tokens(const Record& record, std::vector<int64_t>& out) const {
  out.resize(static_cast<size_t>(record.length));
  token_range(record.first, out);
}

void ScoringInput::token_range(int64_t first, std::span<int64_t> out) const {
  values_.read(first, out);
}

std::vector<int64_t> ScoringInput::document_offsets(int64_t first, int64_t count) const {
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && count <= num_documents_ - first, "documents {} + {} of {}", first, count,
                   num_documents_);
  std::vector<int64_t> offsets(static_cast<size_t>(count) + 1);
  if (!documents_) {
    std::iota(offsets.begin(), offsets.end(), first);
    return offsets;
  }
  documents_->read(first, std::span(offsets));
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    if (offsets[i] < 0 || offsets[i + 1] <= offsets[i] || offsets[i + 1] > num_records_)
      fail(ExitCode::input, "{}: documents/offsets: document {}: expected 0 <= begin < end <= {}, found [{}, {}]",
           path_.string(), first + static_cast<int64_t>(i), num_records_, offsets[i], offsets[i + 1]);
  return offsets;
}

}  // namespace switchyard
