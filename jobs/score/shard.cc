#include "jobs/score/shard.h"

#include <algorithm>

#include "base/number.h"
#include "io/hdf5.h"
#include "io/seal.h"

namespace switchyard {
namespace {

constexpr std::string_view kFormat = "switchyard-shard-3";
constexpr int64_t kPieceBytes = 8 << 20;  // of one read

/// Bytes that have not changed since this program wrote them can be given to HDF5.
const std::filesystem::path& sealed(const std::filesystem::path& path) {
  check_seal(path);
  return path;
}

/// Reads one shard; every error names its file.
class ShardReader {
 public:
  explicit ShardReader(const std::filesystem::path& path, std::function<void()> poll = {})
      : reader_(sealed(path), h5::Trust::verified), poll_(std::move(poll)) {
    if (text("format") != kFormat) refuse("format", std::string(kFormat), text("format"));
  }

  std::string text(std::string_view name) const {
    const auto value = reader_.attribute(name);
    if (!value) refuse(name, "an attribute", "missing");
    return *value;
  }

  int64_t number(std::string_view name) const {
    const std::string value = text(name);
    const std::optional<int64_t> number = number_in<int64_t>(value);
    if (!number) refuse(name, "an integer", value);
    return *number;
  }

  Hash128 hash(std::string_view name) const {
    const std::string value = text(name);
    const std::optional<Hash128> hash = Hash128::parse(value);
    if (!hash) refuse(name, "32 hexadecimal digits", value);
    return *hash;
  }

  void expect(std::string_view name, const std::string& expected) const {
    if (const std::string actual = text(name); actual != expected) refuse(name, expected, actual);
  }

  /// Elements of `dtype`, whatever the vector holds them as.
  template <class T>
  void column(std::string_view name, DType dtype, std::vector<T>& out) const {
    if (!reader_.has(name)) refuse(name, "a dataset", "missing");
    const h5::Dataset dataset = reader_.open(name);
    const int64_t rows = dataset.rows(), width = dataset.shape().size() == 2 ? dataset.shape()[1] : 1;
    const auto element = static_cast<int64_t>(size_of(dtype));
    out.resize(static_cast<size_t>(rows * width * element) / sizeof(T));
    const View all{out.data(), {rows, width}, dtype};
    const int64_t piece = std::max<int64_t>(1, kPieceBytes / element / std::max<int64_t>(1, width));
    int64_t first = 0;
    do {  // an empty column is read too: so its type is checked
      const int64_t count = std::min(piece, rows - first);
      dataset.read(first, all.slice(first, count));
      first += count;
      if (poll_) poll_();
    } while (first < rows);
  }

  ExpertCounts expert_tokens() const {
    if (!reader_.has(kExpertTokens)) refuse(kExpertTokens, "a dataset", "missing");
    const std::vector<int64_t> shape = reader_.open(kExpertTokens).shape();
    if (shape.size() != 2) refuse(kExpertTokens, "of two dimensions", std::to_string(shape.size()));
    ExpertCounts counts{shape[0], shape[1], {}};
    column(kExpertTokens, DType::i64, counts.tokens);
    return counts;
  }

  std::vector<std::string> strings(std::string_view name) const {
    const h5::Dataset dataset = reader_.open(name);
    return dataset.read_strings(0, dataset.rows());
  }

  [[noreturn]] void refuse(std::string_view what, const std::string& expected, const std::string& actual) const {
    throw Damaged(fmt::format("{}: {} is \"{}\", expected \"{}\"", reader_.path().native(), what, actual, expected));
  }

 private:
  h5::Reader reader_;
  std::function<void()> poll_;
};

void check_length(const ShardReader& reader, std::string_view name, int64_t actual, int64_t expected) {
  if (actual != expected)
    reader.refuse(fmt::format("length of {}", name), std::to_string(expected), std::to_string(actual));
}

void check_length(const ShardReader& reader, const ColumnValues& values, int64_t rows) {
  const std::string name = values.column->values_dataset();
  if (!values.ragged()) return check_length(reader, name, values.size(), rows * values.width);
  const std::string offsets = values.column->offsets_dataset();
  check_length(reader, offsets, std::ssize(values.offsets), rows + 1);
  if (values.offsets.front() != 0 || !std::ranges::is_sorted(values.offsets))
    reader.refuse(offsets, "rising from 0", "in another order");
  check_length(reader, name, values.size(), values.offsets.back());
}

/// Every record of the chunk once, as a row or as a reject, both in order.
void check_records(const ShardReader& reader, const ChunkResult& r) {
  const std::span<const int64_t> records = r.accepted.records();
  size_t row = 0, reject = 0;
  for (int64_t record = r.first_record; record < r.first_record + r.num_records; ++record) {
    if (row < records.size() && records[row] == record) {
      ++row;
    } else if (reject < r.rejects.size() && r.rejects[reject].record == record) {
      ++reject;
    } else {
      reader.refuse(fmt::format("record {}", record), "a row or a reject", "missing or out of order");
    }
  }
  if (row != records.size() || reject != r.rejects.size())
    reader.refuse("number of rows and rejects", std::to_string(r.num_records),
                  std::to_string(records.size() + r.rejects.size()));
}

}  // namespace

bool needs_model(const ScoringInput::Record& r, const ResultOptions& options) {
  return r.context < r.length || options.embed != "none";
}

void write_shard(const std::filesystem::path& path, const ChunkResult& r, const std::string& fingerprint) {
  std::vector<int64_t> reject_records;
  std::vector<std::string> reject_reasons;
  for (const Reject& reject : r.rejects) {
    reject_records.push_back(reject.record);
    reject_reasons.push_back(reject.reason);
  }

  h5::Writer writer(path);
  writer.attribute("format", kFormat);
  writer.attribute("fingerprint", fingerprint);
  writer.attribute("chunk", r.chunk);
  writer.attribute("first_record", r.first_record);
  writer.attribute("num_records", r.num_records);
  writer.attribute("input_hash", r.input_hash.hex());
  writer.attribute("accepted", std::ssize(r.accepted.records()));
  writer.attribute("token_values", r.accepted.token_values());
  writer.attribute("rejects", static_cast<int64_t>(r.rejects.size()));
  for (const ColumnValues& values : r.accepted.columns) {
    writer.write(values.column->values_dataset(), values.view());
    if (values.ragged()) writer.write(values.column->offsets_dataset(), view_of(values.offsets));
  }
  writer.write("rejects/record", view_of(reject_records));
  writer.write_strings("rejects/reason", reject_reasons);
  writer.write(kExpertTokens, r.expert_tokens.view());
  writer.close();
  seal_file(path);
}

ChunkResult read_shard(const std::filesystem::path& path, int64_t chunk, int64_t first_record, int64_t num_records,
                       const ResultOptions& options, const std::string& fingerprint,
                       const std::function<void()>& poll) {
  const ShardReader reader(path, poll);
  reader.expect("fingerprint", fingerprint);
  reader.expect("chunk", std::to_string(chunk));
  reader.expect("first_record", std::to_string(first_record));
  reader.expect("num_records", std::to_string(num_records));

  ChunkResult r;
  r.chunk = chunk;
  r.first_record = first_record;
  r.num_records = num_records;
  r.input_hash = reader.hash("input_hash");
  r.accepted = ResultRows(options);
  for (ColumnValues& values : r.accepted.columns) {
    reader.column(values.column->values_dataset(), values.column->dtype, values.bytes);
    if (values.ragged()) reader.column(values.column->offsets_dataset(), DType::i64, values.offsets);
  }
  std::vector<int64_t> reject_records;
  reader.column("rejects/record", DType::i64, reject_records);
  const auto reasons = reader.strings("rejects/reason");
  check_length(reader, "rejects/reason", std::ssize(reasons), std::ssize(reject_records));
  for (size_t i = 0; i < reasons.size(); ++i) r.rejects.push_back({reject_records[i], reasons[i]});
  r.expert_tokens = reader.expert_tokens();

  for (const ColumnValues& values : r.accepted.columns) check_length(reader, values, std::ssize(r.accepted.records()));
  check_records(reader, r);
  return r;
}

ShardSummary read_shard_summary(const std::filesystem::path& path) {
  const ShardReader reader(path);
  return {reader.hash("input_hash"), reader.number("accepted"), reader.number("token_values"),
          reader.number("rejects")};
}

}  // namespace switchyard
