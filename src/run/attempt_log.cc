#include "run/attempt_log.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "base/log.h"
#include "io/file.h"

namespace switchyard {
namespace {

constexpr std::string_view kError = "error: ";
constexpr std::streamoff kTail = 1 << 18;  // bytes read from a log's end

std::vector<std::string> tail_of(const std::filesystem::path& path) {
  std::ifstream file = open_lines(path);
  if (!file.is_open() || !file.seekg(0, std::ios::end)) return {};
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - kTail));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (size > kTail && !lines.empty()) lines.erase(lines.begin());  // cut in the middle
  return lines;
}

/// "[2/4 n1]" of "12:00:01 [2/4 n1] error: …"; empty for lines of other programs.
std::string tag_of(const std::string& line) {
  const size_t open = line.find('['), close = line.find(']');
  return open == std::string::npos || close == std::string::npos || close < open ? std::string()
                                                                                 : line.substr(open, close - open + 1);
}

/// Past the tag: "error: …"
bool reports_error(const std::string& line) {
  const std::string tag = tag_of(line);
  return !tag.empty() && line.find(tag + " " + std::string(kError)) != std::string::npos;
}

std::vector<std::string> log_of(const std::filesystem::path& attempt) {
  return tail_of(attempt / "stderr.log");
}

}  // namespace

std::vector<AttemptRecord> readable_attempts(const RunDirectory& run) {
  try {
    return list_attempts(run);
  } catch (const Error& error) {
    log::warning("{}", error.what());
    return {};
  }
}

std::filesystem::path last_attempt(const RunDirectory& run) {
  // One that failed before it began has only its logs: the folder's time decides.
  std::filesystem::path last;
  std::filesystem::file_time_type last_time{};
  for (const std::filesystem::path& folder : attempt_folders(run)) {
    std::error_code error;
    auto time = std::filesystem::last_write_time(folder / "stderr.log", error);
    if (error) time = std::filesystem::last_write_time(folder / "start.json", error);
    if (!error && (last.empty() || time > last_time)) {
      last = folder;
      last_time = time;
    }
  }
  return last;
}

std::optional<SlurmAttempt> slurm_attempt(std::string_view name) {
  static const std::regex kName("([0-9]{1,18})\\.([0-9]{1,9})(?:\\..*)?");
  std::match_results<std::string_view::const_iterator> m;
  if (!std::regex_match(name.begin(), name.end(), m, kName)) return std::nullopt;
  return SlurmAttempt{m[1], std::atoi(m[2].str().c_str())};
}

std::string slurm_notice(const std::filesystem::path& attempt) {
  struct Notice {
    std::string_view words, cause;
  };
  // slurmstepd-n1: error: *** STEP 17.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***
  constexpr std::array<Notice, 5> kNotices = {{{"DUE TO PREEMPTION", "preempted"},
                                               {"DUE TO TIME LIMIT", "the time limit was reached"},
                                               {"DUE TO NODE FAILURE", "a node failed"},
                                               {"srun: error: Node failure on", "a node failed"},
                                               {"DUE TO JOB REQUEUE", "requeued from outside (scontrol requeue)"}}};
  for (const std::string& line : log_of(attempt)) {
    if (!line.starts_with("slurmstepd") && !line.starts_with("srun: ")) continue;
    const auto* found = std::ranges::find_if(
        kNotices, [&](const Notice& notice) { return line.find(notice.words) != std::string::npos; });
    if (found != kNotices.end()) return std::string(found->cause);
  }
  return {};
}

std::string srun_error(const std::filesystem::path& attempt) {
  const auto of_job = slurm_attempt(attempt.filename().native());
  if (!of_job) return {};
  // Of an array's task, whose own job this is, the script's log is called otherwise.
  const char *job = std::getenv("SLURM_JOB_ID"), *array = std::getenv("SLURM_ARRAY_JOB_ID"),
             *task = std::getenv("SLURM_ARRAY_TASK_ID");
  const bool is_task = job != nullptr && array != nullptr && task != nullptr && of_job->job == job;
  const std::string name = is_task ? fmt::format("{}_{}.log", array, task) : of_job->job + ".log";
  const std::vector<std::string> lines = tail_of(attempt.parent_path() / name);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line)
    for (const std::string_view prefix : {"srun: error: ", "srun: fatal: ", "srun: unrecognized "})
      if (line->starts_with(prefix)) return line->substr(std::string_view("srun: ").size());
  return {};
}

std::string last_error(const std::filesystem::path& attempt) {
  const std::vector<std::string> lines = log_of(attempt);
  const auto found = std::find_if(lines.rbegin(), lines.rend(), reports_error);
  return found == lines.rend() ? std::string() : found->substr(found->find(kError) + kError.size());
}

std::vector<std::string> last_lines(const std::filesystem::path& attempt, size_t count) {
  std::vector<std::string> lines = log_of(attempt);
  const auto found = std::find_if(lines.rbegin(), lines.rend(), reports_error);
  if (found != lines.rend()) {
    const std::string tag = tag_of(*found);
    std::erase_if(lines, [&](const std::string& line) { return tag_of(line) != tag; });
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return lines;
}

}  // namespace switchyard
