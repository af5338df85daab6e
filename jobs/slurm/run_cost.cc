#include "jobs/slurm/run_cost.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/json.h"
#include "jobs/slurm/submissions.h"
#include "run/attempt_log.h"
#include "run/attempts.h"

namespace switchyard {
namespace {

struct Span {
  std::string job;             ///< empty: without Slurm
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
  std::ifstream file = open_lines(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return parse_json_if_whole(text).value_or(Json());
}

/// When something was last written that only the attempt writes; the run's own files only if it is the last.
int64_t last_sign(const RunDirectory& run, const AttemptRecord& attempt, bool is_last) {
  int64_t time = std::max(attempt.started, written_at(attempt.path / "stderr.log"));
  if (is_last) time = std::max({time, written_at(run.state_path()), written_at(run.metrics_path())});
  return time;
}

/// As many as Slurm gives the job; 0: not known.
int64_t nodes_of(const std::string& job, const RunJobs& jobs) {
  if (jobs.slurm && jobs.slurm->number == job) return jobs.slurm->num_nodes;
  const auto found = std::ranges::find(jobs.others, job, &SlurmJob::number);
  return found == jobs.others.end() ? 0 : found->num_nodes;
}

/// The attempts' spans, in order.
std::vector<Span> spans_of(const RunDirectory& run, const RunJobs& jobs, RunPhase phase, int64_t now) {
  std::vector<Span> spans;
  const std::vector<AttemptRecord> attempts = readable_attempts(run);
  for (const AttemptRecord& attempt : attempts) {
    const bool is_last = &attempt == &attempts.back();
    const Json end = read_if_whole(attempt.path / "end.json");
    const auto of_job = slurm_attempt(attempt.name());
    Span span{of_job ? of_job->job : "", attempt.started, integer_of(end, "time"), integer_of(end, "nodes")};
    if (span.end == 0) span.end = is_last && phase == RunPhase::at_work ? now : last_sign(run, attempt, is_last);
    if (span.nodes == 0 && of_job) span.nodes = nodes_of(of_job->job, jobs);
    span.start = std::min(span.start, now);  // whatever another host's clock, or a broken file, says
    span.end = std::clamp(span.end, span.start, now);
    spans.push_back(std::move(span));
  }
  return spans;
}

/// A job's attempts have as many nodes each; one that was killed has not written down how many.
void fill_in_nodes(std::vector<Span>& spans) {
  for (Span& span : spans)
    for (const Span& other : spans)
      if (span.nodes == 0 && !span.job.empty() && span.job == other.job) span.nodes = other.nodes;
}

/// When the job of an attempt was submitted; 0: not known. An array's task has a number that no submission names.
int64_t submitted_at(const std::vector<RecordedSubmission>& submissions, const Span& span) {
  int64_t of_array = 0;
  for (const RecordedSubmission& submission : submissions)
    for (const std::string& id : submission.jobs) {
      if (id == span.job) return submission.time;
      if (id.find('_') != std::string::npos && submission.time <= span.start) of_array = submission.time;
    }
  return span.job.empty() ? 0 : of_array;
}

}  // namespace

RunCost cost_of(const RunDirectory& run, const RunJobs& jobs, RunPhase phase) {
  const int64_t now = std::time(nullptr);
  std::vector<Span> spans = spans_of(run, jobs, phase, now);
  if (spans.empty()) return {};
  fill_in_nodes(spans);
  const std::vector<RecordedSubmission> submissions = all_submissions(run);
  RunCost cost;
  cost.attempts = std::ssize(spans);
  int64_t first = spans.front().start, end = 0;
  double node_seconds = 0;
  const Span* before = nullptr;
  for (const Span& span : spans) {
    const int64_t submitted = std::min(submitted_at(submissions, span), span.start);
    if (submitted > 0) first = std::min(first, submitted);
    // Between two attempts of a job it waits; between two jobs only once the second is there.
    const bool came_again = before != nullptr && !span.job.empty() && before->job == span.job;
    const int64_t queued = came_again ? end : submitted > 0 ? std::max(submitted, end) : span.start;
    cost.waiting += std::max<int64_t>(0, span.start - queued);
    node_seconds += static_cast<double>((span.end - span.start) * span.nodes);
    end = std::max(end, span.end);
    before = &span;
  }
  if (phase == RunPhase::waiting) cost.waiting += now - end;
  cost.elapsed = (phase == RunPhase::over ? end : now) - first;
  if (std::ranges::all_of(spans, [](const Span& span) { return span.nodes > 0; }))
    cost.node_hours = node_seconds / 3600;
  return cost;
}

}  // namespace switchyard
