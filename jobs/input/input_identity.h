// What an input is, by its content: a path or a time stamp proves nothing.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "comm/communicator.h"
#include "io/input.h"

namespace switchyard {

/// Hash of a record as scoring sees it: length, context, tokens.
Hash128 hash_record(const ScoringInput::Record& record, std::span<const int64_t> tokens);

/// Why a record cannot be scored, judged without its tokens; empty if it can.
std::string reject_reason(const ScoringInput::Record& record, int64_t max_positions);

/// Why token ids cannot be, the first of them the at-th of its record; empty if they can.
std::string reject_reason(std::span<const int64_t> tokens, int64_t vocab_size, int64_t at = 0);

struct ChunkIdentity {
  Hash128 content;  ///< of every record of the chunk, and of the chunk's share of a joined input's list of documents
  Hash128 scored;   ///< of the records that reject_reason() lets through: as in the chunk's shard
  Hash128 ids;      ///< of the records' ids (IdHasher)
};

/// Sees a record's tokens, in parts, of which this one is the at-th token on; once without tokens, if it has none.
using TokenVisitor =
    std::function<void(const ScoringInput::Record& record, int64_t at, std::span<const int64_t> tokens)>;

/// Reads the whole input, each rank its part of the chunks: by chunk, the same on all ranks. So whatever is wrong with
/// tokens, ids or documents shows before anything is computed from them. Collective; fails (input) on all ranks alike.
/// `poll` is called between blocks, `visit` with what this rank reads, in order.
std::vector<ChunkIdentity> identify_input(Communicator& world, const ScoringInput& input, int64_t chunk_records,
                                          int64_t max_positions, const std::function<void()>& poll = {},
                                          const TokenVisitor& visit = {});

/// The input as one hash, of the chunks' contents and ids in order.
Hash128 content_hash(std::span<const ChunkIdentity> chunks);

/// One of the hashes, by chunk.
std::vector<Hash128> hashes_of(std::span<const ChunkIdentity> chunks, Hash128 ChunkIdentity::*which);

}  // namespace switchyard
