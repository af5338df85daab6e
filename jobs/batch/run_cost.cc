#include "jobs/batch/run_cost.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <vector>

#include "io/attempts.h"
#include "io/file.h"
#include "io/json.h"
#include "jobs/batch/attempt_log.h"
#include "jobs/batch/submissions.h"

namespace switchyard {
namespace {

struct Span {
  int64_t start = 0, end = 0;  ///< seconds since 1970
  int64_t nodes = 0;           ///< 0: not known
};

/// Seconds since 1970; 0 if there is no such file.
int64_t written_at(const std::filesystem::path& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::file_clock::to_sys(time).time_since_epoch())
      .count();
}

int64_t integer_of(const Json& object, std::string_view field) {
  const Json* value = object.is_object() ? find_field(object, field) : nullptr;
  return value != nullptr && value->is_number_integer() ? std::max<int64_t>(0, value->get<int64_t>()) : 0;
}

Json read_if_whole(const std::filesystem::path& path) {
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return parse_json_if_whole(text).value_or(Json());
}

/// When something was last written that only the attempt writes; the run's own files only if it is the last.
int64_t last_sign(const RunDirectory& run, const Attempt& attempt, bool is_last) {
  int64_t time = std::max(attempt.started, written_at(attempt.path / "stderr.log"));
  if (is_last) time = std::max({time, written_at(run.state_path()), written_at(run.metrics_path())});
  return time;
}

/// As many as Slurm gives the attempt's job; 0: not known.
int64_t nodes_of(const Attempt& attempt, const RunJobs& jobs) {
  const auto of_job = slurm_attempt(attempt.name());
  if (!of_job) return 0;
  if (jobs.slurm && jobs.slurm->number == of_job->job) return jobs.slurm->num_nodes;
  const auto found = std::ranges::find(jobs.others, of_job->job, &SlurmJob::number);
  return found == jobs.others.end() ? 0 : found->num_nodes;
}

/// `goes_on`: it does; otherwise it ended, with or without a word.
Span span_of(const RunDirectory& run, const Attempt& attempt, bool is_last, bool goes_on) {
  const Json end = read_if_whole(attempt.path / "end.json");
  const int64_t ended = integer_of(end, "time");
  Span span{attempt.started, ended, integer_of(end, "nodes")};
  if (span.end == 0) span.end = goes_on && is_last ? std::time(nullptr) : last_sign(run, attempt, is_last);
  span.end = std::max(span.start, span.end);
  return span;
}

/// When the attempt's job was submitted; 0: not known.
int64_t submitted_at(const std::vector<RecordedSubmission>& submissions, const Attempt& attempt) {
  const auto of_job = slurm_attempt(attempt.name());
  if (!of_job) return 0;
  for (const RecordedSubmission& submission : submissions)
    for (const std::string& id : submission.jobs)
      if (id == of_job->job || id.find('_') != std::string::npos) return submission.time;
  return 0;
}

}  // namespace

RunCost cost_of(const RunDirectory& run, const RunJobs& jobs, bool goes_on) {
  const std::vector<Attempt> attempts = readable_attempts(run);
  const std::vector<RecordedSubmission> submissions = all_submissions(run);
  RunCost cost;
  cost.attempts = std::ssize(attempts);
  if (attempts.empty()) return cost;
  double node_seconds = 0;
  bool all_known = true;
  int64_t first = attempts.front().started, end = 0;
  std::string job;
  for (const Attempt& attempt : attempts) {
    Span span = span_of(run, attempt, &attempt == &attempts.back(), goes_on);
    if (span.nodes == 0) span.nodes = nodes_of(attempt, jobs);
    const int64_t submitted = submitted_at(submissions, attempt);
    const auto of_job = slurm_attempt(attempt.name());
    if (submitted > 0) first = std::min(first, submitted);
    // Between two attempts of a job it waits; between two jobs only once the second is there.
    const bool came_again = of_job && of_job->job == job;
    const int64_t queued = came_again ? end : submitted > 0 ? std::max(submitted, end) : span.start;
    cost.waiting += std::max<int64_t>(0, span.start - queued);
    node_seconds += static_cast<double>((span.end - span.start) * span.nodes);
    all_known = all_known && span.nodes > 0;
    end = std::max(end, span.end);
    job = of_job ? of_job->job : "";
  }
  cost.elapsed = end - first;
  if (all_known) cost.node_hours = node_seconds / 3600;
  return cost;
}

}  // namespace switchyard
