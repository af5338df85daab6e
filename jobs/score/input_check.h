// Whether the input is still what the finished chunks were made from.
#pragma once

#include <filesystem>
#include <functional>

#include "io/input.h"
#include "io/json.h"
#include "io/run_directory.h"

namespace switchyard {

/// Hash of a record as scoring sees it: length, context, tokens.
Hash128 hash_record(const ScoringInput::Record& record, std::span<const int64_t> tokens);

/// Why a record cannot be scored, judged without its tokens; empty if it can.
std::string reject_reason(const ScoringInput::Record& record, int64_t max_positions);

/// Size and modification time, to notice that a file was touched.
Json file_stamp(const std::filesystem::path& path);

/// Reads every chunk that has a shard again and compares it with the hash in there. Fails (mismatch) naming the chunk.
/// `poll` is called between records.
void compare_with_shards(const ScoringInput& input, const RunDirectory& run, int64_t num_records, int64_t chunk_records,
                         int64_t max_positions, const std::function<void()>& poll = {});

}  // namespace switchyard
