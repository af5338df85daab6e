#include "jobs/batch/attempt_log.h"

#include <algorithm>
#include <fstream>

#include "io/attempts.h"

namespace switchyard {
namespace {

constexpr std::string_view kError = "error: ";
constexpr std::streamoff kTail = 1 << 18;  // bytes read from a log's end

std::vector<std::string> tail_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
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
