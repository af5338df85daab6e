#include <algorithm>
#include <cstring>
#include <fstream>

#include "io/results.h"

namespace switchyard {
namespace {

/// Reads results.h5 row by row, in step with the shards.
class ResultsCursor {
 public:
  ResultsCursor(const RunDirectory& run, const ResultOptions& options)
      : reader_(run.results_path()),
        options_(options),
        record_(reader_.open("record")),
        logprob_(reader_.open("logprob")),
        tokens_(reader_.open("tokens")),
        greedy_(reader_.open("greedy")) {
    if (options.per_token) {
      values_ = reader_.open("token_logprob/values");
      offsets_ = reader_.open("token_logprob/offsets");
    }
    if (options.embedding_dim > 0) embedding_ = reader_.open("embedding");
  }

  int64_t rows() const { return record_.rows(); }

  /// The next `count` rows as a shard would hold them.
  ChunkResult next(int64_t count) {
    ChunkResult r;
    read(record_, first_, count, r.record);
    read(logprob_, first_, count, r.logprob);
    read(tokens_, first_, count, r.tokens);
    read(greedy_, first_, count, r.greedy);
    if (options_.per_token) {
      read(offsets_, first_, count + 1, r.token_offsets);
      const int64_t begin = r.token_offsets.front();
      read(values_, begin, r.token_offsets.back() - begin, r.token_logprob);
      for (int64_t& offset : r.token_offsets) offset -= begin;
    }
    if (options_.embedding_dim > 0) {
      r.embedding.resize(static_cast<size_t>(count * options_.embedding_dim));
      embedding_.read(first_, std::span(r.embedding));
    }
    first_ += count;
    return r;
  }

 private:
  template <class T>
  static void read(const h5::Dataset& dataset, int64_t first, int64_t count, std::vector<T>& out) {
    out.resize(static_cast<size_t>(count));
    dataset.read(first, std::span(out));
  }

  h5::Reader reader_;
  const ResultOptions& options_;
  h5::Dataset record_, logprob_, tokens_, greedy_, values_, offsets_, embedding_;
  int64_t first_ = 0;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

std::vector<int64_t> read_reject_records(const RunDirectory& run) {
  std::vector<int64_t> records;
  std::ifstream file(run.rejects_path());
  if (!file) fail(ExitCode::input, "{}: is missing", run.rejects_path().string());
  for (std::string line; std::getline(file, line);)
    records.push_back(require_int(parse_json(line, run.rejects_path().string()), "record", run.rejects_path().string(),
                                  0, INT64_MAX));
  return records;
}

void compare_columns(const ChunkResult& shard, const ChunkResult& results, std::vector<std::string>& findings) {
  const auto compare = [&](std::string_view name, bool same) {
    if (!same) findings.push_back(fmt::format("chunk {}: {} of results.h5 differs from the shard", shard.chunk, name));
  };
  compare("record", same_bits(shard.record, results.record));
  compare("logprob", same_bits(shard.logprob, results.logprob));
  compare("tokens", same_bits(shard.tokens, results.tokens));
  compare("greedy", same_bits(shard.greedy, results.greedy));
  compare("token_logprob/offsets", same_bits(shard.token_offsets, results.token_offsets));
  compare("token_logprob/values", same_bits(shard.token_logprob, results.token_logprob));
  compare("embedding", same_bits(shard.embedding, results.embedding));
}

}  // namespace

std::vector<std::string> verify_results(const ShardSet& shards) {
  std::vector<std::string> findings;
  ResultsCursor results(shards.run, shards.options);
  const std::vector<int64_t> rejects = read_reject_records(shards.run);
  if (results.rows() + static_cast<int64_t>(rejects.size()) != shards.num_records)
    findings.push_back(fmt::format("results.h5 has {} rows and rejects.jsonl {} lines, but the input {} records",
                                   results.rows(), rejects.size(), shards.num_records));
  const bool have_shards = !shards.run.shards_present().empty();
  auto reject = rejects.begin();
  int64_t rows_left = results.rows();
  for (int64_t chunk = 0; chunk < shards.num_chunks() && findings.empty(); ++chunk) {
    const int64_t first = shards.first(chunk), end = first + shards.size(chunk);
    const auto chunk_rejects = std::lower_bound(reject, rejects.end(), end);
    const int64_t count = end - first - (chunk_rejects - reject);
    if (count < 0 || count > rows_left) {
      findings.push_back(fmt::format("chunk {}: {} rows expected in results.h5, {} left", chunk, count, rows_left));
      break;
    }
    const ChunkResult rows = results.next(count);
    rows_left -= count;
    int64_t record = first;
    for (size_t row = 0; record < end; ++record) {
      if (row < rows.record.size() && rows.record[row] == record) {
        ++row;
      } else if (reject != chunk_rejects && *reject == record) {
        ++reject;
      } else {
        findings.push_back(fmt::format("record {} is neither in results.h5 nor in rejects.jsonl, or twice", record));
        break;
      }
    }
    if (!have_shards) continue;
    try {
      compare_columns(shards.read(chunk), rows, findings);
    } catch (const Error& error) {
      findings.push_back(error.what());
    }
  }
  return findings;
}

}  // namespace switchyard
