// The results of one chunk of records: what a group of ranks computes, what a shard file holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "io/input.h"
#include "jobs/score/expert_counts.h"
#include "jobs/score/result_rows.h"

namespace switchyard {

struct Reject {
  int64_t record = 0;
  std::string reason;
  bool operator==(const Reject&) const = default;
};

/// The reason of a reject that went through the model; the others are seen before.
inline constexpr std::string_view kNotFinite = "the model's output is not finite";

/// Whether a record that is scored goes through the model: it has tokens to score, or its states are wanted.
bool needs_model(const ScoringInput::Record& record, const ResultOptions& options);

/// The dataset of ExpertCounts, in shards and results.
inline constexpr std::string_view kExpertTokens = "expert_tokens";

/// The accepted records of a chunk and its rejects, each in input order.
struct ChunkResult {
  int64_t chunk = 0, first_record = 0, num_records = 0;  ///< accepted + rejected = num_records
  Hash128 input_hash;                                    ///< of the chunk's tokens, contexts and lengths
  ResultRows accepted;
  std::vector<Reject> rejects;
  ExpertCounts expert_tokens;  ///< of all tokens that went through the model
  bool operator==(const ChunkResult&) const = default;
};

/// Writes a shard at `path` (a temporary name; the caller publishes it): the columns, rejects/{record, reason},
/// expert_tokens and, as attributes, what chunk it is; sealed. The bytes depend on `result` and `fingerprint` alone.
/// Fails (output).
void write_shard(const std::filesystem::path& path, const ChunkResult& result, const std::string& fingerprint);

/// Reads a shard and checks it: its seal, fingerprint and chunk as expected, every record of the chunk exactly once
/// as a row or a reject, every column that `options` ask for, of equal length. Throws Damaged naming the file and what
/// is wrong. `poll` is called between pieces of a column.
ChunkResult read_shard(const std::filesystem::path& path, int64_t chunk, int64_t first_record, int64_t num_records,
                       const ResultOptions& options, const std::string& fingerprint,
                       const std::function<void()>& poll = {});

/// A shard's own word about itself, without reading its rows.
struct ShardSummary {
  Hash128 input_hash;
  int64_t accepted = 0, token_values = 0, rejects = 0;
};
ShardSummary read_shard_summary(const std::filesystem::path& path);

}  // namespace switchyard
