// What a scoring run began with, as its manifest has it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/json.h"
#include "jobs/input/input_identity.h"

namespace switchyard {

/// What a run's manifest says of its input, enough to tell whether another is the same.
struct RecordedInput {
  std::string path, hash;  ///< content_hash(), as hexadecimal digits
  bool is_own = false;     ///< the run made it, by import or as a sample
  int64_t num_records = 0, chunk_records = 1, max_positions = 1;
};
/// Fails (input) naming the field. `subject`: the manifest's path.
RecordedInput recorded_input(const Json& manifest, const std::string& subject);

/// Fails (mismatch) naming both unless `path`, whose chunks these are, holds what the run began with.
void require_same_input(const RecordedInput& recorded, std::span<const ChunkIdentity> chunks, const std::string& path);

}  // namespace switchyard
