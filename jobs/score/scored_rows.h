// What one rank found out about its records of a chunk, and how the ranks' finds become one result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/hash.h"
#include "jobs/score/shard.h"

namespace switchyard {

struct ScoredRows {
  ResultRows accepted;
  // One element per record whose tokens were read.
  std::vector<int64_t> hashed_record = {};
  std::vector<Hash128> hash = {};  ///< of length, context and tokens
  std::vector<Reject> rejects = {};
};

std::vector<std::byte> pack_rows(const ScoredRows& rows);
ScoredRows unpack_rows(std::span<const std::byte> bytes, const ResultOptions& options);

/// All ranks' rows in input order. The input hash covers the records' hashes in input order.
ChunkResult assemble_chunk(std::span<const ScoredRows> parts, const ResultOptions& options);

}  // namespace switchyard
