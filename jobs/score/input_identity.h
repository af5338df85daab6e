// What an input is, by its content: a path or a time stamp proves nothing.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "comm/communicator.h"
#include "io/input.h"
#include "io/json.h"
#include "jobs/score/result_columns.h"

namespace switchyard {

/// Hash of a record as scoring sees it: length, context, tokens.
Hash128 hash_record(const ScoringInput::Record& record, std::span<const int64_t> tokens);

/// Why a record cannot be scored, judged without its tokens; empty if it can.
std::string reject_reason(const ScoringInput::Record& record, int64_t max_positions);

/// Whether a record that is scored goes through the model: it has tokens to score, or its states are wanted.
bool needs_model(const ScoringInput::Record& record, const ResultOptions& options);

struct ChunkIdentity {
  Hash128 content;  ///< of every record of the chunk, and of the chunk's share of a joined input's list of documents
  Hash128 scored;   ///< of the records that reject_reason() lets through: as in the chunk's shard
  Hash128 ids;      ///< of the records' ids (IdHasher)
};

/// Reads the whole input, each rank its part of the chunks: by chunk, the same on all ranks. So whatever is wrong with
/// tokens, ids or documents shows before anything is computed from them. Collective; fails (input) on all ranks alike.
/// `poll` is called between blocks.
std::vector<ChunkIdentity> identify_input(Communicator& world, const ScoringInput& input, int64_t chunk_records,
                                          int64_t max_positions, const std::function<void()>& poll = {});

/// The input as one hash, of the chunks' contents and ids in order.
Hash128 content_hash(std::span<const ChunkIdentity> chunks);

/// What a run's manifest says of its input, enough to tell whether another is the same.
struct RecordedInput {
  std::string path, hash;  ///< content_hash(), as hexadecimal digits
  int64_t num_records = 0, chunk_records = 1, max_positions = 1;
};
/// Fails (input) naming the field. `subject`: the manifest's path.
RecordedInput recorded_input(const Json& manifest, const std::string& subject);

/// Fails (mismatch) naming both unless `path`, whose chunks these are, holds what the run began with.
void require_same_input(const RecordedInput& recorded, std::span<const ChunkIdentity> chunks, const std::string& path);

/// One of the hashes, by chunk.
std::vector<Hash128> hashes_of(std::span<const ChunkIdentity> chunks, Hash128 ChunkIdentity::*which);

}  // namespace switchyard
