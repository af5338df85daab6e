#include "io/results.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>

#include "base/log.h"
#include "io/file.h"
#include "io/lease.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr int64_t kBlock = 1 << 16;       // records of one read
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
      : path_(path), options_(options), input_(input), pulse_(pulse), writer_(path) {
    record_ = writer_.create("record", DType::i64, rows);
    logprob_ = writer_.create("logprob", DType::f64, rows);
    tokens_ = writer_.create("tokens", DType::i32, rows);
    greedy_ = writer_.create("greedy", DType::u8, rows);
    if (input.has_ids())
      ids_ = input.ids_are_strings() ? writer_.create_strings("id", rows) : writer_.create("id", DType::i64, rows);
    if (options.per_token) {
      values_ = writer_.create("token_logprob/values", DType::f32, token_values);
      offsets_ = writer_.create("token_logprob/offsets", DType::i64, rows + 1, 0, true);
      const int64_t zero = 0;
      offsets_.append({&zero, {1}, DType::i64});
    }
    if (options.embedding_dim > 0) embedding_ = writer_.create("embedding", DType::f32, rows, options.embedding_dim);
  }

  void append(const ChunkResult& r) {
    append(record_, column_view(r.record));
    append(logprob_, column_view(r.logprob));
    append(tokens_, column_view(r.tokens));
    append(greedy_, column_view(r.greedy));
    if (input_.has_ids()) append_ids(r);
    if (options_.per_token) {
      append(values_, column_view(r.token_logprob));
      std::vector<int64_t> ends(r.token_offsets.begin() + 1, r.token_offsets.end());
      for (int64_t& end : ends) end += token_values_;
      append(offsets_, column_view(ends));
      token_values_ += r.token_offsets.back();
    }
    if (options_.embedding_dim > 0)
      append(embedding_,
             column_view(r.embedding).reshaped({static_cast<int64_t>(r.record.size()), options_.embedding_dim}));
  }

  void close(const std::map<std::string, std::string>& provenance) {
    for (const auto& [name, value] : provenance) writer_.attribute(name, value);
    for (auto* stream : {&record_, &logprob_, &tokens_, &greedy_, &ids_, &values_, &offsets_, &embedding_})
      *stream = {};
    writer_.close();
  }

 private:
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

  /// The ids of the chunk's accepted records, read block by block.
  void append_ids(const ChunkResult& r) {
    size_t row = 0;
    for (int64_t first = r.first_record; first < r.first_record + r.num_records; first += kBlock) {
      const int64_t count = std::min(kBlock, r.first_record + r.num_records - first);
      const auto pick = [&](const auto& ids) {
        std::remove_cvref_t<decltype(ids)> picked;
        for (; row < r.record.size() && r.record[row] < first + count; ++row)
          picked.push_back(ids[static_cast<size_t>(r.record[row] - first)]);
        return picked;
      };
      if (input_.ids_are_strings()) {
        const std::vector<std::string> ids = pick(input_.string_ids(first, count));
        int64_t bytes = 0;
        for (const std::string& id : ids) bytes += std::ssize(id);
        ids_.append_strings(ids);
        has_written(bytes);
      } else {
        append(ids_, column_view(pick(input_.integer_ids(first, count))));
      }
    }
  }

  const std::filesystem::path path_;
  const ResultOptions& options_;
  const ScoringInput& input_;
  Pulse& pulse_;
  h5::Writer writer_;
  h5::Writer::Stream record_, logprob_, tokens_, greedy_, ids_, values_, offsets_, embedding_;
  int64_t token_values_ = 0, unsynced_bytes_ = 0;
};

__extension__ using Bytes = __int128;

/// At most a quarter of what fits, so that such numbers can be added.
uint64_t saturated(Bytes bytes) {
  return static_cast<uint64_t>(std::min<Bytes>(bytes, std::numeric_limits<uint64_t>::max() / 4));
}

Json reject_line(const Reject& reject, const ScoringInput& input) {
  Json json;
  json["record"] = reject.record;
  if (input.has_ids()) {
    if (input.ids_are_strings()) {
      json["id"] = input.string_ids(reject.record, 1).front();
    } else {
      json["id"] = input.integer_ids(reject.record, 1).front();
    }
  }
  json["reason"] = reject.reason;
  return json;
}

void append_text(std::ofstream& file, const std::string& text, const std::filesystem::path& path) {
  if (!(file << text)) fail_errno(ExitCode::output, "cannot write", path.string());
}

/// Empty when the shard was bad and now stands aside.
std::optional<ChunkResult> read_or_set_aside(const ShardSet& shards, int64_t chunk, const std::function<void()>& poll) {
  try {
    return shards.read(chunk, poll);
  } catch (const Error& error) {
    if (error.code() != ExitCode::input) throw;
    log::warning("setting a bad shard aside, its records are scored again: {}", error.what());
    const std::filesystem::path path = shards.run.shard_path(chunk), aside = path.string() + ".corrupt";
    if (std::rename(path.c_str(), aside.c_str()) != 0) fail_errno(ExitCode::output, "cannot rename", path.string());
    return std::nullopt;
  }
}

}  // namespace

ChunkResult ShardSet::read(int64_t chunk, const std::function<void()>& poll) const {
  ChunkResult result = read_shard(run.shard_path(chunk), chunk, first(chunk), size(chunk), options, fingerprint, poll);
  if (!input_hashes.empty() && result.input_hash != input_hashes[static_cast<size_t>(chunk)])
    fail(ExitCode::input, "{}: made from other tokens than the input has now", run.shard_path(chunk).native());
  return result;
}

std::vector<int64_t> scan_shards(const ShardSet& shards, const std::function<void()>& poll) {
  std::vector<int64_t> good;
  for (const int64_t chunk : shards.run.shards_present()) {
    if (poll) poll();
    if (chunk >= shards.num_chunks())
      fail(ExitCode::mismatch, "{}: the input has {} chunks only", shards.run.shard_path(chunk).string(),
           shards.num_chunks());
    if (read_or_set_aside(shards, chunk, poll)) good.push_back(chunk);
  }
  return good;
}

MergeOutcome merge_results(const MergeInput& merge) {
  const ShardSet& shards = merge.shards;
  Pulse unwatched;
  Pulse& pulse = merge.pulse == nullptr ? unwatched : *merge.pulse;
  const auto stopped = [&] {
    pulse.beat();
    return merge.stop && merge.stop();
  };
  int64_t rows = 0, token_values = 0;
  for (int64_t chunk = 0; chunk < shards.num_chunks(); ++chunk) {
    if (stopped()) return MergeOutcome::interrupted;
    const ShardSummary summary = read_shard_summary(shards.run.shard_path(chunk));
    rows += summary.accepted;
    token_values += summary.token_values;
  }

  const TemporaryFile results(shards.run.results_path()), rejects(shards.run.rejects_path());
  ResultsWriter writer(results.path(), shards.options, merge.input, rows, token_values, pulse);
  std::ofstream reject_file(rejects.path(), std::ios::binary);
  for (int64_t chunk = 0; chunk < shards.num_chunks(); ++chunk) {
    if (stopped()) return MergeOutcome::interrupted;
    const auto result = read_or_set_aside(shards, chunk, [&] { pulse.beat(); });
    if (!result) fail(ExitCode::interrupted, "chunk {} must be scored again: run the same command again", chunk);
    writer.append(*result);
    for (const Reject& reject : result->rejects) {
      append_text(reject_file, to_text(reject_line(reject, merge.input)) + "\n", rejects.path());
      pulse.beat();
    }
  }

  const Pulse::Unhurried unhurried(pulse);  // single steps of the operating system, which cannot beat
  writer.close(merge.provenance);
  reject_file.close();
  if (!reject_file) fail_errno(ExitCode::output, "cannot write", rejects.path().string());
  for (const TemporaryFile* file : {&rejects, &results}) {  // a run whose results are there is complete
    pulse.beat();
    check_lease(shards.run.lease_path(), merge.lease_nonce);
    file->publish();
  }
  return MergeOutcome::complete;
}

void check_results(const ShardSet& shards, const std::map<std::string, std::string>& provenance) {
  const std::string subject = shards.run.results_path().native();
  const h5::Reader reader(shards.run.results_path());
  for (const auto& [name, value] : provenance)
    if (const auto found = reader.attribute(name); found != value)
      fail(ExitCode::input, "{}: attribute {}: expected {}, found {}", subject, name, value, found.value_or("none"));
  const int64_t rows = reader.open("record").rows();
  for (const std::string_view column : {"logprob", "tokens", "greedy"})
    if (const int64_t found = reader.open(column).rows(); found != rows)
      fail(ExitCode::input, "{}: {}: expected {} rows, found {}", subject, column, rows, found);
  std::ifstream file(shards.run.rejects_path());
  if (!file) fail(ExitCode::input, "{}: is missing", shards.run.rejects_path().native());
  int64_t rejects = 0;
  for (std::string line; std::getline(file, line);) ++rejects;
  if (rows + rejects != shards.num_records)
    fail(ExitCode::input, "{}: {} rows and {} rejects, expected {} records", subject, rows, rejects,
         shards.num_records);
}

ResultTotals read_totals(const RunDirectory& run, const std::function<void()>& poll) {
  const h5::Reader reader(run.results_path(), h5::Trust::verified);
  const h5::Dataset logprob = reader.open("logprob"), tokens = reader.open("tokens");
  ResultTotals totals;
  totals.records = logprob.rows();
  for (int64_t first = 0; first < totals.records; first += kBlock) {
    const auto count = static_cast<size_t>(std::min(kBlock, totals.records - first));
    std::vector<double> sums(count);
    std::vector<int32_t> counts(count);
    logprob.read(first, std::span(sums));
    tokens.read(first, std::span(counts));
    for (const double sum : sums) totals.logprob += sum;
    for (const int32_t n : counts) totals.tokens += n;
    if (poll) poll();
  }
  std::ifstream rejects(run.rejects_path());
  for (std::string line; std::getline(rejects, line); ++totals.rejects) {
    if (totals.rejects == 0) totals.first_reject = line;
    if (poll) poll();
  }
  return totals;
}

uint64_t predicted_results_bytes(int64_t num_records, int64_t num_tokens, const ResultOptions& options) {
  constexpr int64_t kRow = 8 + 8 + 4 + 1, kId = 48, kHeader = 1 << 16;
  // In a wider type: an input may say that it has 2^58 records.
  Bytes bytes = kHeader + Bytes(num_records) * (kRow + kId + options.embedding_dim * 4);
  if (options.per_token) bytes += Bytes(num_tokens) * 4 + Bytes(num_records) * 8;
  return saturated(bytes);
}

uint64_t predicted_shard_bytes(int64_t num_records, int64_t num_tokens, int64_t num_chunks,
                               const ResultOptions& options) {
  constexpr int64_t kShardHeader = 1 << 14;
  return saturated(Bytes(predicted_results_bytes(num_records, num_tokens, options)) + Bytes(num_chunks) * kShardHeader);
}

void require_disk_space(const std::filesystem::path& directory, uint64_t bytes) {
  const uint64_t free = free_disk_bytes(directory);
  if (free < bytes)
    fail(ExitCode::output, "disk of {}: {} bytes are free, but shards and results may need {}", directory.string(),
         free, bytes);
}

}  // namespace switchyard
