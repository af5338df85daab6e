#include "jobs/slurm/submissions.h"

#include <algorithm>
#include <ctime>
#include <fstream>

#include "io/file.h"
#include "io/json.h"

namespace switchyard {
namespace {

std::filesystem::path path_of(const RunDirectory& run) {
  return run.root() / "jobs.jsonl";
}

}  // namespace

void record_submission(const RunDirectory& run, const std::vector<std::string>& job_ids) {
  const Json line = {{"time", static_cast<int64_t>(std::time(nullptr))}, {"jobs", job_ids}};
  append_line(path_of(run), to_text(line));
}

std::vector<RecordedSubmission> all_submissions(const RunDirectory& run) {
  std::ifstream file = open_lines(path_of(run));
  std::vector<RecordedSubmission> submissions;
  for (std::string text; std::getline(file, text);) {
    const Json line = parse_json_if_whole(text).value_or(Json());
    if (!line.is_object()) continue;  // cut off by a full disk
    const Json *jobs = find_field(line, "jobs"), *time = find_field(line, "time");
    if (jobs == nullptr || !jobs->is_array() ||
        !std::ranges::all_of(*jobs, [](const Json& id) { return id.is_string(); }))
      continue;
    submissions.push_back({time != nullptr && time->is_number_integer() ? time->get<int64_t>() : 0,
                           jobs->get<std::vector<std::string>>()});
  }
  return submissions;
}

std::vector<std::string> last_submission(const RunDirectory& run) {
  const std::vector<RecordedSubmission> submissions = all_submissions(run);
  return submissions.empty() ? std::vector<std::string>() : submissions.back().jobs;
}

}  // namespace switchyard
