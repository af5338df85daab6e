#include "jobs/slurm/run_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "jobs/slurm/submissions.h"
#include "run/attempt_log.h"
#include "run/attempts.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr std::ptrdiff_t kMostAsked = 16;  // each costs a command

std::string job_of(const std::string& attempt) {
  const auto parsed = slurm_attempt(attempt);
  return parsed ? parsed->job : std::string();
}

bool is_known(const std::string& field) {
  return !field.empty() && field != "None" && field != "Unknown" && field != "(null)" && field != "N/A";
}

/// All ids that the run directory names, each once.
std::vector<std::string> job_ids(const std::vector<RecordedSubmission>& submissions, const RunDirectory& run,
                                 const std::vector<std::string>& more) {
  std::vector<std::string> ids;
  const auto add = [&](const std::string& id) {
    if (!id.empty() && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  };
  for (const RecordedSubmission& submission : submissions) std::ranges::for_each(submission.jobs, add);
  for (const std::filesystem::path& folder : attempt_folders(run)) add(job_of(folder.filename().native()));
  std::ranges::for_each(more, add);
  return ids;
}

/// Of very many the last, and those from the one that was last at work: a long chain's next link is among them.
std::vector<std::string> worth_asking(const std::vector<std::string>& ids, const std::string& at_work) {
  if (std::ssize(ids) <= kMostAsked) return ids;
  const auto from = std::min(std::ranges::find(ids, at_work), ids.end() - kMostAsked);
  std::vector<std::string> kept(from, from + kMostAsked);
  for (auto id = std::max(from + kMostAsked, ids.end() - kMostAsked); id != ids.end(); ++id) kept.push_back(*id);
  return kept;
}

class Chooser {
 public:
  Chooser(const RunDirectory& run, const std::optional<RunState>& state)
      : state_(state), submissions_(all_submissions(run)) {
    if (const auto holder = read_lease_holder(run.lease_path()); holder && !is_gone(*holder)) {
      holder_ = holder->job;
      is_held_locally_ = holder->job.empty();
    }
    if (state) last_worker_ = job_of(state->attempt);
    const std::vector<std::string> ids = job_ids(submissions_, run, {last_worker_, holder_});
    for (const std::string& id : worth_asking(ids, last_worker_)) {
      const std::optional<SlurmJob> job = find_job(id);
      if (job && std::ranges::find(jobs_, job->number, &SlurmJob::number) == jobs_.end()) jobs_.push_back(*job);
    }
  }

  RunJobs choose() {
    RunJobs chosen;
    // Of those with an equal claim the first goes on before the others; of what ended without any say, the last is
    // news.
    auto followed = std::ranges::min_element(jobs_, {}, [&](const SlurmJob& job) { return distance(job); });
    if (followed != jobs_.end() && distance(*followed) == kEndedWithoutSay) followed = std::prev(jobs_.end());
    for (auto job = jobs_.begin(); job != jobs_.end(); ++job) {
      if (job == followed && distance(*job) < kOfNoConcern)
        chosen.slurm = *job;
      else
        chosen.others.push_back(*job);
    }
    if (chosen.slurm)
      chosen.id = name_of(*chosen.slurm);
    else if (!is_held_locally_ || !last_worker_.empty())
      chosen.id = !last_worker_.empty() || state_ || submissions_.empty() ? last_worker_ : submissions_.back().jobs[0];
    return chosen;
  }

 private:
  static constexpr int kEndedWithoutSay = 6, kOfNoConcern = 100;

  /// How far a job is from having the run in its hands.
  int distance(const SlurmJob& job) const {
    const bool was_last = !last_worker_.empty() && job.number == last_worker_;
    if (is_over(job)) return was_last ? 5 : kOfNoConcern;
    if (!job.has_ended() && job.number == holder_) return 0;
    if (!job.has_ended() && is_held_locally_ && at_work()) return kOfNoConcern;
    if (!job.has_ended() && was_last) return 1;
    if (job.is_running()) return 2;
    if (job.is_pending()) return job.reason.starts_with("DependencyNever") ? 4 : 3;
    if (was_last) return 5;
    return state_ ? kOfNoConcern : kEndedWithoutSay;
  }

  bool at_work() const {
    return state_ && (state_->status == RunStatus::running || state_->status == RunStatus::merging);
  }

  /// Whether the job will leave the run alone: what is complete stays so, and of a chain no link resumes what failed.
  bool is_over(const SlurmJob& job) const {
    if (!state_) return false;
    if (state_->status == RunStatus::complete) return true;
    if (state_->status != RunStatus::failed || job.number == last_worker_) return false;
    return std::ranges::any_of(submissions_, [&](const RecordedSubmission& submission) {
      const auto has = [&](const std::string& id) {
        return std::ranges::find(submission.jobs, id) != submission.jobs.end();
      };
      return has(job.id) && has(last_worker_);
    });
  }

  /// As it was submitted: "17_3" of an array that Slurm still has as a whole.
  std::string name_of(const SlurmJob& job) const {
    for (const RecordedSubmission& submission : submissions_)
      for (const std::string& id : submission.jobs)
        if (id == job.id || id.starts_with(job.number + "_")) return id;
    return job.id;
  }

  const std::optional<RunState>& state_;
  std::vector<RecordedSubmission> submissions_;
  std::string holder_, last_worker_;  ///< jobs; empty: none
  bool is_held_locally_ = false;
  std::vector<SlurmJob> jobs_;
};

}  // namespace

std::optional<SlurmJob> find_job(const std::string& id) {
  std::vector<SlurmJob> jobs = find_jobs(id);
  if (jobs.empty()) return std::nullopt;
  // An array's number is that of one of its tasks as well; tasks that wait have a line together.
  const auto exact = std::ranges::find_if(jobs, [&](const SlurmJob& job) { return job.id == id || job.number == id; });
  if (exact == jobs.end() && id.find('_') == std::string::npos) return std::nullopt;
  return exact == jobs.end() ? jobs.front() : *exact;
}

RunJobs find_run_jobs(const RunDirectory& run, const std::optional<RunState>& state) {
  return Chooser(run, state).choose();
}

bool is_attempt_of(const std::string& attempt, const SlurmJob& job) {
  const auto parsed = slurm_attempt(attempt);
  return parsed && parsed->job == job.number && parsed->restart == job.restarts;
}

std::string why_ended(const SlurmJob& job) {
  const std::string reason = is_known(job.reason) ? fmt::format(" ({})", job.reason) : "";
  const bool began = is_known(job.nodes);
  if (job.state == "CANCELLED") return (began ? "was cancelled" : "was cancelled before it began") + reason;
  if (job.state == "TIMEOUT") return fmt::format("reached its time limit {}", job.time_limit);
  if (job.state == "PREEMPTED") return "was preempted";
  if (job.state == "NODE_FAIL") return "lost a node of " + job.nodes;
  if (job.state == "OUT_OF_MEMORY") return "needed more memory than it had asked for";
  if (job.state == "COMPLETED") return "ended";
  if (job.state == "FAILED" && !job.comment.empty())
    return "failed: " + job.comment;  // what its script could tell nowhere else
  if (job.state == "FAILED" && job.signal == kNoOutput)
    return fmt::format(
        "failed: {} could not open its log (0:53); is the log's folder there, on a file system that all "
        "nodes mount?",
        job.nodes);
  if (job.state == "FAILED" && job.exit_code == 0 && job.signal != 0)
    return fmt::format("was killed by signal {} ({})", job.signal, ::strsignal(job.signal));
  if (job.state == "FAILED") return fmt::format("failed with exit code {}", job.exit_code);
  return fmt::format("is {}{}", job.state, reason);
}

std::string why_stopped(const SlurmJob& job) {
  if (is_known(job.preempt_time)) return "preempted";
  if (job.state == "CANCELLED" || (job.state == "COMPLETING" && is_known(job.end_time))) return "cancelled";
  return job.is_pending() ? "requeued from outside" : "";
}

}  // namespace switchyard
