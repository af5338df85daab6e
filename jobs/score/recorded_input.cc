#include "jobs/score/recorded_input.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "jobs/options/limits.h"

namespace switchyard {

RecordedInput recorded_input(const Json& manifest, const std::string& subject) {
  const Json &fields = manifest["fingerprint"], &info = manifest["info"];
  const std::string chunk_records = require_string(fields, "chunk_records", subject);
  const std::filesystem::path run = std::filesystem::path(subject).parent_path();
  const std::filesystem::path input = require_path(info, "input", subject);
  return {.path = (run / input).native(),
          .hash = require_string(fields, "input", subject),
          .is_own = input.is_relative(),
          .num_records = require_int(info, "num_records", subject, 0, int64_t{1} << 58),
          .chunk_records = std::clamp<int64_t>(std::atoll(chunk_records.c_str()), 1, kMaxChunkRecords),
          .max_positions = require_int(info, "max_positions", subject, 1, INT64_MAX)};
}

void require_same_input(const RecordedInput& recorded, std::span<const ChunkIdentity> chunks, const std::string& path) {
  if (content_hash(chunks).hex() != recorded.hash)
    fail(ExitCode::mismatch, "input {}: the run belongs to another one ({}): its records, tokens or ids differ", path,
         recorded.path);
}

}  // namespace switchyard
