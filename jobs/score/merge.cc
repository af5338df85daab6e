// merge_results(): from shards to results.h5 and rejects.jsonl.
#include <algorithm>
#include <fstream>
#include <utility>

#include "io/file.h"
#include "io/record_ids.h"
#include "io/seal.h"
#include "io/temporary_file.h"
#include "jobs/score/document_ids.h"
#include "jobs/score/document_joiner.h"
#include "jobs/score/results.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr int64_t kWriteBytes = 8 << 20;  // of one write
constexpr int64_t kSyncBytes = 64 << 20;  // written between two syncs

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
      append(column.offsets, view_of(ends));
    }
  }

  /// Of the next rows.
  void append(const RecordIds& ids) {
    if (!ids.are_strings()) return append(ids_, view_of(ids.integers()));
    int64_t bytes = 0;
    for (const std::string& id : ids.strings()) bytes += std::ssize(id);
    ids_.append_strings(ids.strings());
    has_written(bytes);
  }

  void write(const TokenPieces& pieces) {
    std::vector<int64_t> offsets = {0};
    std::vector<uint8_t> values;
    for (int32_t id = 0; id < pieces.count; ++id) {
      const std::string piece = pieces.of(id);
      values.insert(values.end(), piece.begin(), piece.end());
      offsets.push_back(std::ssize(values));
    }
    writer_.write(kPieceValues, view_of(values));
    writer_.create(kPieceOffsets, DType::i64, std::ssize(offsets), 0, true).append(view_of(offsets));
    has_written(std::ssize(values));
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
    out.values =
        writer_.create(column.values_dataset(), column.dtype, values.ragged() ? token_values * values.width : rows,
                       column.extent == Extent::vector ? values.width : 0);
    if (!values.ragged()) return;
    out.offsets = writer_.create(column.offsets_dataset(), DType::i64, rows + 1, 0, true);
    out.offsets.append(view_of(values.offsets));  // of no rows: 0
  }

  void append(h5::Writer::Stream& stream, const ConstView& rows) {
    const int64_t row_bytes = std::max<int64_t>(1, rows.row_elements() * static_cast<int64_t>(size_of(rows.dtype)));
    const int64_t piece = std::max<int64_t>(1, kWriteBytes / row_bytes);
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
        expert_tokens_(merge.expert_tokens) {
    if (merge.input.has_ids()) ids_.emplace(merge.input, shards_.units, merge.id_hashes, [this] { pulse_.beat(); });
  }

  MergeOutcome run() {
    const std::optional<Size> size = count();
    if (!size) return MergeOutcome::interrupted;
    ResultsWriter writer(results_.path(), shards_.options, merge_.input, size->rows, size->token_values, pulse_);
    reject_file_.open(rejects_.path(), std::ios::binary);
    const bool all = for_each_chunk([&](const ChunkResult& documents) {
      writer.append(documents.accepted);
      expert_tokens_.add(documents.expert_tokens);
      append_ids_and_rejects(writer, documents);
    });
    if (!all) return MergeOutcome::interrupted;
    if (ids_) ids_->finish();
    if (merge_.pieces.count > 0) writer.write(merge_.pieces);
    publish(writer);
    return MergeOutcome::complete;
  }

 private:
  struct Size {
    int64_t rows = 0, token_values = 0;
  };

  /// Of the results. The shards themselves say it, unless a document is rejected for one of its pieces: which of the
  /// others are in the results then, only joining tells.
  std::optional<Size> count() {
    Size size;
    int64_t rejects = 0;
    for (int64_t chunk = 0; chunk < shards_.units.total; ++chunk) {
      if (stopped()) return std::nullopt;
      const ShardSummary summary = or_set_aside(chunk, [&] { return read_shard_summary(shards_.path(chunk)); });
      size.rows += summary.accepted;
      size.token_values += summary.token_values;
      rejects += summary.rejects;
    }
    if (!merge_.input.joined()) return size;
    size.rows = merge_.input.num_documents();
    if (rejects == 0) return size;
    size = {};
    const bool all = for_each_chunk([&](const ChunkResult& documents) {
      size.rows += std::ssize(documents.accepted.records());
      size.token_values += documents.accepted.token_values();
    });
    return all ? std::optional(size) : std::nullopt;
  }

  /// The shards in order, joined. False: it is to stop.
  template <class Take>
  bool for_each_chunk(const Take& take) {
    DocumentJoiner joiner(&merge_.input, shards_.options);
    for (int64_t chunk = 0; chunk < shards_.units.total; ++chunk) {
      if (stopped()) return false;
      take(joiner.add(or_set_aside(chunk, [&] { return shards_.read(chunk, [&] { pulse_.beat(); }); })));
    }
    return true;
  }

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
    const int64_t end = r.first_record + r.num_records;
    const std::span<const int64_t> rows = r.accepted.records();
    size_t row = 0;
    auto reject = r.rejects.begin();
    for (int64_t first = r.first_record; first < end; first += IdHasher::kBlock) {
      const int64_t count = std::min(IdHasher::kBlock, end - first);
      std::optional<RecordIds> ids;
      if (ids_) {
        std::vector<int64_t> begins = merge_.input.document_offsets(first, count);
        begins.pop_back();
        ids = ids_->of(begins);
        RecordIds of_rows(merge_.input);
        for (; row < rows.size() && rows[row] < first + count; ++row) of_rows.append(*ids, rows[row] - first);
        writer.append(of_rows);
      }
      for (; reject != r.rejects.end() && reject->record < first + count; ++reject)
        append_reject(*reject, ids ? ids->json(reject->record - first) : Json());
    }
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
  std::optional<DocumentIds> ids_;  ///< if the input has them
};

}  // namespace

MergeOutcome merge_results(const MergeInput& merge) {
  Pulse unwatched;
  return Merge(merge, merge.pulse == nullptr ? unwatched : *merge.pulse).run();
}

}  // namespace switchyard
