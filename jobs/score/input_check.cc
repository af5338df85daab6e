#include "jobs/score/input_check.h"

#include <sys/stat.h>

#include <algorithm>

#include "io/shard.h"

namespace switchyard {

Hash128 hash_record(const ScoringInput::Record& record, std::span<const int64_t> tokens) {
  Hasher hasher;
  const int64_t head[] = {record.length, record.context};
  hasher.update(std::span<const int64_t>(head));
  hasher.update(tokens);
  return hasher.digest();
}

std::string reject_reason(const ScoringInput::Record& r, int64_t max_positions) {
  if (r.length == 0) return "empty record";
  if (r.context < 1) return fmt::format("context is {}, at least 1", r.context);
  if (r.context > r.length) return fmt::format("context is {} of {} tokens", r.context, r.length);
  if (r.length > max_positions)
    return fmt::format("{} tokens, but the model has {} positions", r.length, max_positions);
  return {};
}

Json file_stamp(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) fail_errno(ExitCode::input, "cannot stat", path.string());
  Json stamp;
  stamp["bytes"] = static_cast<int64_t>(status.st_size);
  stamp["modified_ns"] = static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
  return stamp;
}

void compare_with_shards(const ScoringInput& input, const RunDirectory& run, int64_t num_records, int64_t chunk_records,
                         int64_t max_positions, const std::function<void()>& poll) {
  std::vector<int64_t> tokens;
  for (const int64_t chunk : run.shards_present()) {
    const int64_t first = chunk * chunk_records;
    if (first >= num_records) continue;
    Hasher hasher;
    for (const auto& record : input.records(first, std::min(chunk_records, num_records - first))) {
      if (poll) poll();
      if (!reject_reason(record, max_positions).empty()) continue;
      input.tokens(record, tokens);
      const Hash128 hash = hash_record(record, tokens);
      hasher.update(&hash, sizeof hash);
    }
    if (hasher.digest() != read_shard_summary(run.shard_path(chunk)).input_hash)
      fail(ExitCode::mismatch, "{}: the tokens of records {} … differ from those that {} was made from",
           input.path().string(), first, run.shard_path(chunk).string());
  }
}

}  // namespace switchyard
