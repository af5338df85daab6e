#include "io/attempts.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <limits>

#include "io/file.h"
#include "io/json.h"
#include "io/lease.h"

namespace switchyard {
namespace {

constexpr const char *kStart = "start.json", *kEnd = "end.json";

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::none)  // a folder without permission, a loop of links
    fail(ExitCode::input, "cannot read {}: {}", path.native(), error.message());
  return std::filesystem::exists(status);
}

}  // namespace

std::string slurm_attempt_name() {
  const LeaseHolder self = LeaseHolder::self();
  return self.job.empty() ? std::string() : fmt::format("{}.{}", self.job, self.restart);
}

Attempt begin_attempt(const RunDirectory& run) {
  Attempt attempt;
  attempt.number = std::ssize(list_attempts(run)) + 1;
  attempt.chunks_at_start = std::ssize(run.shards_present());
  attempt.started = std::time(nullptr);
  const Json start = {{"number", attempt.number}, {"chunks", attempt.chunks_at_start}, {"time", attempt.started}};

  const std::string name = slurm_attempt_name();
  const std::filesystem::path stem = run.attempts_path() / (name.empty() ? "local" : name);
  for (int64_t n = name.empty() ? 1 : 0;; ++n) {
    attempt.path = stem;
    if (n > 0) attempt.path += fmt::format(".{}", n);
    make_directories(attempt.path);
    if (write_file_once(attempt.path / kStart, start.dump() + "\n")) return attempt;
  }
}

std::vector<std::filesystem::path> attempt_folders(const RunDirectory& run) {
  std::vector<std::filesystem::path> folders;
  std::error_code error, ignored;
  for (std::filesystem::directory_iterator entry(run.attempts_path(), error), end; !error && entry != end;
       entry.increment(error))
    if (entry->is_directory(ignored)) folders.push_back(entry->path());
  if (error && error != std::errc::no_such_file_or_directory)
    fail(ExitCode::input, "cannot list {}: {}", run.attempts_path().native(), error.message());
  return folders;
}

std::vector<Attempt> list_attempts(const RunDirectory& run) {
  std::vector<Attempt> attempts;
  for (const std::filesystem::path& folder : attempt_folders(run)) {
    const std::filesystem::path path = folder / kStart;
    if (!is_there(path)) continue;
    const Json start = parse_json(read_text_file(path, 1 << 16), path.native());
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    Attempt& attempt = attempts.emplace_back();
    attempt.path = folder;
    attempt.number = require_int(start, "number", path.native(), 0, kMost);
    attempt.chunks_at_start = require_int(start, "chunks", path.native(), 0, kMost);
    attempt.started = require_int(start, "time", path.native(), 0, kMost);
    const std::filesystem::path end_path = folder / kEnd;
    if (!is_there(end_path)) continue;
    const Json end = parse_json(read_text_file(end_path, 1 << 16), end_path.native());
    attempt.stopped = !require_bool(end, "requeue", end_path.native());
  }
  std::ranges::sort(attempts, {}, [](const Attempt& a) { return std::pair(a.number, a.path); });
  return attempts;
}

int64_t fruitless_attempts(const RunDirectory& run) {
  const std::vector<Attempt> attempts = list_attempts(run);
  const int64_t chunks = std::ssize(run.shards_present());
  const auto fruitful = std::find_if(attempts.rbegin(), attempts.rend(), [&](const Attempt& attempt) {
    return attempt.stopped || attempt.chunks_at_start != chunks;
  });
  return fruitful - attempts.rbegin();
}

}  // namespace switchyard
