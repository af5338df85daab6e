// merge_results(): from shards to results.h5 and rejects.jsonl.
#include <algorithm>
#include <fstream>
#include <utility>

#include "io/file.h"
#include "io/record_ids.h"
#include "io/seal.h"
#include "io/temporary_file.h"
#include "jobs/score/results.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;  // of one write
constexpr int64_t kSyncBytes = 64 << 20;  // written between two syncs

template <class T>
ConstView column_view(const std::vector<T>& values) {
  return view_of(std::span<const T>(values));
}

/// The streams of a results file that grow together, row by row. The pulse beats with every step that may last.
class ResultsWriter {
 public:
  ResultsWriter(const std::filesystem::path& path, const ResultOptions& options, const ScoringInput& input,
                int64_t rows, int64_t token_values, Pulse& pulse)
      : path_(path), pulse_(pulse), writer_(path) {
    auto create_ids = [&, done = !input.has_ids()]() mutable {
      if (std::exchange(done, true)) return;
      ids_ = input.ids_are_strings() ? writer_.create_strings("id", rows) : writer_.create("id", DType::i64, rows);
    };
    for (const ColumnValues& values : ResultRows(options).columns) {
      if (values.column->width({}) == 0) create_ids();
      create(values, rows, token_values);
    }
    create_ids();
  }

  void append(const ResultRows& rows) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const ColumnValues& values = rows.columns[i];
      Column& column = columns_[i];
      const int64_t before = column.values.rows();
      append(column.values, values.view());
      if (!values.ragged()) continue;
      std::vector<int64_t> ends(values.offsets.begin() + 1, values.offsets.end());
      for (int64_t& end : ends) end += before;
      append(column.offsets, column_view(ends));
    }
  }

  /// The ids of the next rows: of those records of the block [first, …) that are in `records`.
  void append_ids(const RecordIds& ids, int64_t first, std::span<const int64_t> records) {
    if (!ids.are_strings()) {
      std::vector<int64_t> picked;
      for (const int64_t record : records) picked.push_back(ids.integers()[static_cast<size_t>(record - first)]);
      return append(ids_, column_view(picked));
    }
    std::vector<std::string> picked;
    int64_t bytes = 0;
    for (const int64_t record : records) {
      picked.push_back(ids.strings()[static_cast<size_t>(record - first)]);
      bytes += std::ssize(picked.back());
    }
    ids_.append_strings(picked);
    has_written(bytes);
  }

  void close(const std::map<std::string, std::string>& provenance, const ExpertCounts& expert_tokens) {
    writer_.write(kExpertTokens, expert_tokens.view());
    for (const auto& [name, value] : provenance) writer_.attribute(name, value);
    columns_.clear();
    ids_ = {};
    writer_.close();
  }

 private:
  struct Column {
    h5::Writer::Stream values, offsets;
  };

  void create(const ColumnValues& values, int64_t rows, int64_t token_values) {
    const ResultColumn& column = *values.column;
    Column& out = columns_.emplace_back();
    out.values = writer_.create(column.values_dataset(), column.dtype, values.ragged() ? token_values : rows,
                                column.extent == Extent::vector ? values.width : 0);
    if (!values.ragged()) return;
    out.offsets = writer_.create(column.offsets_dataset(), DType::i64, rows + 1, 0, true);
    out.offsets.append(column_view(values.offsets));  // of no rows: 0
  }

  void append(h5::Writer::Stream& stream, const ConstView& rows) {
    const int64_t row_bytes = std::max<int64_t>(1, rows.row_elements() * static_cast<int64_t>(size_of(rows.dtype)));
    const int64_t piece = std::max<int64_t>(1, kPieceBytes / row_bytes);
    for (int64_t first = 0; first < rows.rows(); first += piece) {
      const ConstView part = rows.slice(first, std::min(piece, rows.rows() - first));
      stream.append(part);
      has_written(static_cast<int64_t>(part.bytes()));
    }
  }

  void has_written(int64_t bytes) {
    pulse_.beat();
    unsynced_bytes_ += bytes;
    if (unsynced_bytes_ < kSyncBytes) return;
    sync_file(path_);
    unsynced_bytes_ = 0;
    pulse_.beat();
  }

  const std::filesystem::path path_;
  Pulse& pulse_;
  h5::Writer writer_;
  std::vector<Column> columns_;
  h5::Writer::Stream ids_;
  int64_t unsynced_bytes_ = 0;
};

class Merge {
 public:
  Merge(const MergeInput& merge, Pulse& pulse)
      : merge_(merge),
        shards_(merge.shards),
        pulse_(pulse),
        results_(shards_.run.results_path()),
        rejects_(shards_.run.rejects_path()),
        expert_tokens_(merge.expert_tokens) {}

  MergeOutcome run() {
    int64_t rows = 0, token_values = 0;
    for (int64_t chunk = 0; chunk < shards_.units.total; ++chunk) {
      if (stopped()) return MergeOutcome::interrupted;
      const ShardSummary summary = or_set_aside(chunk, [&] { return read_shard_summary(shards_.path(chunk)); });
      rows += summary.accepted;
      token_values += summary.token_values;
    }
    ResultsWriter writer(results_.path(), shards_.options, merge_.input, rows, token_values, pulse_);
    reject_file_.open(rejects_.path(), std::ios::binary);
    for (int64_t chunk = 0; chunk < shards_.units.total; ++chunk) {
      if (stopped()) return MergeOutcome::interrupted;
      const ChunkResult result = or_set_aside(chunk, [&] { return shards_.read(chunk, [&] { pulse_.beat(); }); });
      writer.append(result.accepted);
      expert_tokens_.add(result.expert_tokens);
      append_ids_and_rejects(writer, result);
    }
    publish(writer);
    return MergeOutcome::complete;
  }

 private:
  bool stopped() const {
    pulse_.beat();
    return merge_.stop && merge_.stop();
  }

  template <class Read>
  auto or_set_aside(int64_t chunk, const Read& read) const -> decltype(read()) {
    try {
      return read();
    } catch (const Damaged& damage) {
      shards_.set_aside(chunk, damage);
    }
    fail(ExitCode::interrupted, "chunk {} must be scored again: run the same command again", chunk);
  }

  /// Block by block, so that a chunk's ids are never all in memory.
  void append_ids_and_rejects(ResultsWriter& writer, const ChunkResult& r) {
    const bool has_ids = merge_.input.has_ids();
    const int64_t end = r.first_record + r.num_records;
    const std::span<const int64_t> records = r.accepted.records();
    auto row = records.begin();
    auto reject = r.rejects.begin();
    IdHasher hasher;
    for (int64_t first = r.first_record; first < end; first += IdHasher::kBlock) {
      const int64_t count = std::min(IdHasher::kBlock, end - first);
      std::optional<RecordIds> ids;
      if (has_ids) {
        ids.emplace(merge_.input, first, count);
        hasher.add(*ids);
        const auto last = std::lower_bound(row, records.end(), first + count);
        writer.append_ids(*ids, first, {row, last});
        row = last;
      }
      for (; reject != r.rejects.end() && reject->record < first + count; ++reject)
        append_reject(*reject, ids ? ids->json(reject->record - first) : Json());
    }
    if (has_ids && !merge_.id_hashes.empty() && hasher.digest() != merge_.id_hashes[static_cast<size_t>(r.chunk)])
      fail(ExitCode::input, "{}: the ids of records {} to {} changed while the run went on",
           merge_.input.path().native(), r.first_record, end - 1);
  }

  void append_reject(const Reject& reject, const Json& id) {
    Json line = {{"record", reject.record}};
    if (!id.is_null()) line["id"] = id;
    line["reason"] = reject.reason;
    if (!(reject_file_ << to_text(line) << '\n'))
      fail_errno(ExitCode::output, "cannot write", rejects_.path().native());
    pulse_.beat();
  }

  void publish(ResultsWriter& writer) {
    const Pulse::Unhurried unhurried(pulse_);  // single steps of the operating system, which cannot beat
    reject_file_.close();
    if (!reject_file_) fail_errno(ExitCode::output, "cannot write", rejects_.path().native());
    auto provenance = merge_.provenance;
    provenance[std::string(kRejectsHash)] = hash_of_file(rejects_.path(), [&] { pulse_.beat(); }).hex();
    writer.close(provenance, expert_tokens_);
    seal_file(results_.path(), [&] { pulse_.beat(); });
    for (const TemporaryFile* file : {&rejects_, &results_}) {  // a run whose results are there is complete
      pulse_.beat();
      check_lease(shards_.run.lease_path(), merge_.lease_nonce);
      file->publish();
    }
  }

  const MergeInput& merge_;
  const ShardSet& shards_;
  Pulse& pulse_;
  const TemporaryFile results_, rejects_;
  std::ofstream reject_file_;
  ExpertCounts expert_tokens_;
};

}  // namespace

MergeOutcome merge_results(const MergeInput& merge) {
  Pulse unwatched;
  return Merge(merge, merge.pulse == nullptr ? unwatched : *merge.pulse).run();
}

}  // namespace switchyard
