#include "run/attempts.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <limits>

#include "base/log.h"
#include "io/file.h"
#include "io/json.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr const char *kStart = "start.json", *kEnd = "end.json";

AttemptRecord read_attempt(const std::filesystem::path& folder) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const std::string start_path = folder / kStart, end_path = folder / kEnd;
  const Json start = parse_json(read_text_file(start_path, 1 << 16), start_path);
  AttemptRecord attempt;
  attempt.path = folder;
  attempt.number = require_int(start, "number", start_path, 0, kMost);
  attempt.units_at_start = require_int(start, "units", start_path, 0, kMost);
  attempt.started = require_int(start, "time", start_path, 0, kMost);
  if (file_exists(end_path))
    attempt.stopped = !require_bool(parse_json(read_text_file(end_path, 1 << 16), end_path), "requeue", end_path);
  return attempt;
}

}  // namespace

std::string slurm_attempt_name() {
  const LeaseHolder self = LeaseHolder::self();
  return self.job.empty() ? std::string() : fmt::format("{}.{}", self.job, self.restart);
}

AttemptRecord begin_attempt(const RunDirectory& run) {
  AttemptRecord attempt;
  attempt.number = std::ssize(list_attempts(run)) + 1;
  attempt.units_at_start = run.units_present().units;
  attempt.started = std::time(nullptr);
  const Json start = {{"number", attempt.number}, {"units", attempt.units_at_start}, {"time", attempt.started}};

  const std::string name = slurm_attempt_name();
  const std::filesystem::path stem = run.attempts_path() / (name.empty() ? "local" : name);
  for (int64_t n = name.empty() ? 1 : 0;; ++n) {
    attempt.path = stem;
    if (n > 0) attempt.path += fmt::format(".{}", n);
    make_directories(attempt.path);
    if (write_file_once(attempt.path / kStart, to_text(start) + "\n")) return attempt;
  }
}

std::vector<std::filesystem::path> attempt_folders(const RunDirectory& run) {
  std::vector<std::filesystem::path> folders = list_directory(run.attempts_path());
  std::erase_if(folders, [](const std::filesystem::path& path) { return !directory_exists(path); });
  return folders;
}

std::vector<AttemptRecord> list_attempts(const RunDirectory& run) {
  std::vector<AttemptRecord> attempts;
  for (const std::filesystem::path& folder : attempt_folders(run)) {
    if (!file_exists(folder / kStart)) continue;
    try {
      attempts.push_back(read_attempt(folder));
    } catch (const Error& error) {  // cut off by a crash; others can do without it
      log::warning("{}; the attempt is passed over", error.what());
    }
  }
  std::ranges::sort(attempts, {}, [](const AttemptRecord& a) { return std::pair(a.number, a.path); });
  return attempts;
}

int64_t fruitless_attempts(const RunDirectory& run) {
  const std::vector<AttemptRecord> attempts = list_attempts(run);
  const int64_t units = run.units_present().units;
  const auto fruitful = std::find_if(attempts.rbegin(), attempts.rend(), [&](const AttemptRecord& attempt) {
    return attempt.stopped || attempt.units_at_start != units;
  });
  return fruitful - attempts.rbegin();
}

}  // namespace switchyard
