// From shards to results.h5 and rejects.jsonl. Chunks and shards are of the input's records; a result is a document's,
// which is a record unless the input is joined.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/pulse.h"
#include "io/input.h"
#include "io/seal.h"
#include "jobs/score/shard.h"
#include "jobs/score/token_pieces.h"
#include "report/bins.h"
#include "run/run_directory.h"

namespace switchyard {

/// How a scoring run is counted: chunks of records, each a shard.
WorkUnits chunk_units(int64_t num_records, int64_t chunk_records);

/// What a run's shards have in common.
struct ShardSet {
  RunDirectory run;
  WorkUnits units;  ///< chunk_units()
  ResultOptions options;
  std::string fingerprint;
  int64_t experts_per_token = 1;
  std::vector<Hash128> input_hashes = {};  ///< by chunk, what shards must have been made from; empty: whatever

  std::filesystem::path path(int64_t chunk) const { return units.file(run.root(), chunk); }
  ChunkResult read(int64_t chunk, const std::function<void()>& poll = {}) const;  ///< see read_shard; throws Damaged
  /// Renames a shard of no use (chunk-NNNNNN.h5.corrupt), with a warning that says why, so that it is scored again.
  void set_aside(int64_t chunk, const Damaged& why) const;
};

/// The chunks whose shard is there and valid. A damaged one is set aside; shards beyond the input are an error
/// (mismatch). `poll` is called at every step of reading.
std::vector<int64_t> scan_shards(const ShardSet& shards, const std::function<void()>& poll = {});

struct MergeInput {
  const ShardSet& shards;
  const ScoringInput& input;                           ///< for ids, and which records are a document
  ExpertCounts expert_tokens;                          ///< zeros of the model's shape, which the shards' are added to
  TokenPieces pieces = {};                             ///< with_text: of the vocabulary
  std::vector<Hash128> id_hashes = {};                 ///< by chunk, what they must be (IdHasher); empty: whatever
  std::map<std::string, std::string> provenance = {};  ///< attributes of the root group
  std::string lease_nonce = {};                        ///< checked before anything is published
  std::function<bool()> stop = {};                     ///< asked between shards
  Pulse* pulse = nullptr;                              ///< of a watched rank: beats with every step
};
enum class MergeOutcome : uint8_t { complete, interrupted };

/// Writes rejects.jsonl, then results.h5, each complete under another name before it is published. Datasets are sized
/// beforehand; one shard at a time is in memory, and the row so far of a document that goes on. All shards must be
/// there; one that is found damaged is set aside, and the merge fails (interrupted): the next attempt scores it again.
/// The datasets depend on the shards alone. What was written is synced in pieces, so that closing and publishing, which
/// cannot beat, have little left to do.
MergeOutcome merge_results(const MergeInput& merge);

/// The attribute of results.h5 that holds the hash of rejects.jsonl.
inline constexpr std::string_view kRejectsHash = "rejects_hash";

/// Fails (input) unless results.h5 and rejects.jsonl are, byte for byte, what a merge has written, with this
/// provenance.
void check_results(const ShardSet& shards, const std::map<std::string, std::string>& provenance,
                   const std::function<void()>& poll = {});
/// The same of results whose bytes are known to be a merge's.
void check_provenance(const ShardSet& shards, const std::map<std::string, std::string>& provenance,
                      const std::function<void()>& poll = {});

/// The datasets of a run with_text: token id i is values[offsets[i] : offsets[i+1]], its own bytes.
inline constexpr std::string_view kPieceValues = "piece/values", kPieceOffsets = "piece/offsets";

/// What a finished run's results come to.
struct ResultTotals {
  int64_t records = 0, tokens = 0, rejects = 0;  ///< records: rows; rejects: also those of the run's own import
  double logprob = 0;
  std::string first_reject;                          ///< as its file has it
  std::vector<std::string> reject_files;             ///< that have any
  std::map<std::string, int64_t> rejects_by_reason;  ///< with "N" for numbers; of very many the rest as "others"
  ExpertCounts expert_tokens;
  report::Bins record_lengths = report::Bins::logarithmic(1, 1 << 20, 40);  ///< scored tokens of a row
  report::Bins mean_logprobs = report::Bins::linear(-20, 0.1, 201);         ///< of a row's tokens, in nats, up to 0
};
/// imported: the run has imported its input, what was rejected then counts as well.
ResultTotals read_totals(const RunDirectory& run, bool imported, const std::function<void()>& poll = {});

/// Of results.h5. Fails (input) unless they have two dimensions.
ExpertCounts read_expert_tokens(const RunDirectory& run);

/// Bytes that all shards, and the results, take at most, but for the vocabulary's pieces. num_counts: experts of all
/// layers together.
uint64_t predicted_shard_bytes(int64_t num_records, int64_t num_tokens, int64_t num_chunks, int64_t num_counts,
                               const ResultOptions& options);
uint64_t predicted_results_bytes(int64_t num_records, int64_t num_tokens, int64_t num_counts,
                                 const ResultOptions& options);

/// What is wrong with a finished run; empty when nothing is. With its shards: each valid, and results.h5 their rows bit
/// for bit, or their documents' joined. Without (dropped): every document once in results.h5 or rejects.jsonl, columns
/// of equal length. The input has the ids, and how many tokens each layer's experts must have had; without one (null)
/// these are not looked at. A joined run needs it.
std::vector<std::string> verify_results(const ShardSet& shards, const ScoringInput* input);

}  // namespace switchyard
