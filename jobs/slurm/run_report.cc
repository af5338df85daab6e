#include "jobs/slurm/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "io/file.h"
#include "io/json.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/submissions.h"
#include "run/attempt_log.h"
#include "run/attempts.h"
#include "run/lease.h"
#include "run/metrics.h"

namespace switchyard {
namespace {

bool is_at_work(std::string_view state) {
  return state == "running" || state == "merging";
}

bool is_unfinished(RunStatus status) {
  return status != RunStatus::complete && status != RunStatus::failed;
}

/// A minute without renewing it, or none at all. Another host's clock may differ: this alone proves nothing.
bool lease_is_old(const RunDirectory& run) {
  std::error_code error;
  const auto renewed = std::filesystem::last_write_time(run.lease_path(), error);
  return error || std::filesystem::file_time_type::clock::now() - renewed > std::chrono::minutes(1);
}

/// Whether somebody holds the run since its last attempt said how it ended: who has said so leaves within moments.
bool is_taken_up_again(const RunDirectory& run) {
  const auto holder = read_lease_holder(run.lease_path());
  if (!holder || is_gone(*holder) || lease_is_old(run)) return false;
  std::error_code error;
  const auto renewed = std::filesystem::last_write_time(run.lease_path(), error);
  return !error && renewed > std::filesystem::last_write_time(run.state_path(), error) && !error;
}

void append(std::string& message, const std::string& more) {
  if (more.empty()) return;
  if (!message.empty()) message += "; ";
  message += more;
}

/// A pending job's reason, and when it may start.
std::string why_pending(const SlurmJob& job) {
  std::string why = job.reason == "None" ? "" : job.reason;
  const bool has_time = !job.start_time.empty() && job.start_time != "Unknown" && job.start_time != "N/A";
  if (has_time) why += fmt::format("{}to start {}", why.empty() ? "" : ", ", job.start_time);
  return why;
}

class Reporter {
 public:
  explicit Reporter(const RunDirectory& run)
      : run_(run), last_(run.find_state()), submitted_(!last_submission(run).empty()) {}

  RunReport report() {
    jobs_ = find_run_jobs(run_, last_);
    report_.run = run_.root().native();
    report_.job = jobs_.id;
    report_.slurm = jobs_.slurm;
    count();
    name_state();
    explain();
    tell_of_others();
    estimate();
    show_log();
    const RunPhase phase = report_.has_ended()         ? RunPhase::over
                           : is_at_work(report_.state) ? RunPhase::at_work
                                                       : RunPhase::waiting;
    if (const RunCost cost = cost_of(run_, jobs_, phase); cost.attempts > 0) report_.cost = cost;
    return std::move(report_);
  }

 private:
  /// What the job at hand has not said of itself is an earlier attempt's word.
  bool is_current() const {
    if (!last_) return false;
    if (last_->status == RunStatus::complete) return true;
    if (jobs_.is_live()) return is_attempt_of(last_->attempt, *jobs_.slurm);
    return is_at_work(name_of(last_->status)) || !is_taken_up_again(run_);
  }

  void count() {
    if (last_) report_.counts = *last_;
    if (last_ && last_->status != RunStatus::complete) {  // whose files may have been dropped
      const UnitCounts present = run_.units_present();
      report_.counts.units_done = std::max(last_->units_done, present.units);
      report_.counts.items_done = std::max(last_->items_done, present.items);
    }
    if (is_current()) return;
    report_.counts.exit_code = 0;
    report_.counts.attempt = report_.counts.message = "";
  }

  void name_state() {
    const std::optional<RunState> state = is_current() ? last_ : std::nullopt;
    report_.state = joint_state(state, submitted_, jobs_.slurm);
    if (!state && last_ && !jobs_.slurm) report_.state = "starting";
    if (report_.state == "submitted" && slurm_answers()) {
      // A job that began has left a log or an attempt's folder.
      const bool began = !list_directory(run_.attempts_path()).empty();
      report_.state = began ? "lost" : "cancelled";
      report_.message = fmt::format("job {} is gone, and Slurm remembers it no more{}", report_.job,
                                    began ? "" : "; nothing shows that it began: cancelled while it waited, as a rule");
    }
    if (!state || !is_at_work(report_.state)) return;
    if (const std::string why = why_gone(); !why.empty()) {
      report_.state = name_of(RunStatus::interrupted);
      report_.message = why;
    }
  }

  /// Why a run whose state says that it is at work is not, though it could not say so; empty: it may well be.
  std::string why_gone() const {
    if (const auto holder = read_lease_holder(run_.lease_path()); holder && is_gone(*holder))
      return fmt::format("{} was killed", holder->describe());
    const auto attempt = slurm_attempt(last_->attempt);
    if (!jobs_.slurm && attempt && lease_is_old(run_) && slurm_answers())
      return fmt::format("job {} is gone, and Slurm remembers it no more", attempt->job);
    if (!jobs_.slurm && !has_lease() && is_still_said())
      return "its last attempt ended without being able to say why: a full disk, say";
    return {};
  }

  /// Over NFS a file that is being replaced may be missing for a moment.
  bool has_lease() const {
    for (int tries = 0; tries < 3; ++tries) {
      if (file_exists(run_.lease_path())) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  /// Whether the state has not been told anew since: an attempt that ends does so before it gives up its lease.
  bool is_still_said() const {
    const std::optional<RunState> now = run_.find_state();
    return now && now->status == last_->status && now->attempt == last_->attempt;
  }

  void explain() {
    std::string& message = report_.message;
    if (message.empty() && is_current()) message = last_->message;
    if (report_.state == "new")
      message = is_study() ? fmt::format("its points are runs of their own: switchyard collect {} tells of them",
                                         shell_word(run_.root().native()))
                : file_exists(run_.state_path())
                    ? "state.json is damaged: the same command, given again, writes it anew"
                : attempt_folders(run_).empty()
                    ? "prepared, but no attempt has begun and no job is queued: give the command again"
                    : "no attempt has begun";
    if (!jobs_.slurm) return;
    const SlurmJob& job = *jobs_.slurm;
    if (job.state == "SUSPENDED") append(message, "suspended by Slurm");
    if (job.is_pending()) append(message, why_pending(job));
    const bool has_said = report_.state == "complete" || (report_.state == "failed" && is_current());
    if (job.has_ended() && !has_said) append(message, fmt::format("job {} {}", job.id, end_of(job)));
    if (!job.has_ended() && job.restarts > 0 && !is_current()) append(message, why_restarted(job));
  }

  /// A study that was submitted has jobs for its points alone.
  bool is_study() const {
    if (!run_.has_manifest()) return false;
    const std::string job = recorded_job(run_.read_manifest());
    return job == "sweep" || job == "scale";
  }

  /// Of the attempt before.
  std::string why_restarted(const SlurmJob& job) const {
    const std::filesystem::path attempt = run_.attempts_path() / fmt::format("{}.{}", job.number, job.restarts - 1);
    const bool spoke = last_ && last_->attempt == attempt.filename() && !is_at_work(name_of(last_->status));
    std::string why = spoke ? last_->message : "";
    std::error_code unknown;
    if (std::filesystem::exists(attempt / "end.json", unknown)) return "the attempt before: " + why;
    // Its script was ended before it could ask Slurm.
    const std::string notice = slurm_notice(attempt);
    append(why, notice.empty() ? "requeued from outside: by an operator, a preemption or the loss of a node" : notice);
    return "the attempt before: " + why;
  }

  /// How a job ended, with what its last attempt, or Slurm in its log, says.
  std::string end_of(const SlurmJob& job) const {
    std::string text = why_ended(job);
    const std::filesystem::path attempt = run_.attempts_path() / fmt::format("{}.{}", job.number, job.restarts);
    const std::string error = last_error(attempt), said = is_current() ? last_->message : "";
    if (!error.empty() && error != said && job.state != "COMPLETED") return text + ": " + error;
    std::error_code unknown;
    const std::filesystem::path log = run_.attempts_path() / (job.id + ".log");  // of the script that submit writes
    if (error.empty() && job.state == "FAILED" && std::filesystem::exists(log, unknown))
      text += "; see " + log.native();
    return text;
  }

  void tell_of_others() {
    for (const SlurmJob& job : jobs_.others) {
      const bool not_needed = report_.state == "complete" && job.reason.starts_with("DependencyNever");
      const std::string why = not_needed         ? "was not needed"
                              : job.is_pending() ? why_pending(job)
                              : job.has_ended()  ? end_of(job)
                                                 : "";
      report_.others.push_back({job.id, job.state, why});
    }
    tell_of_refused();
  }

  /// A job that Slurm has forgotten, and that the run directory did not let begin.
  void tell_of_refused() {
    const std::filesystem::path attempt = last_attempt(run_);
    const auto of_job = slurm_attempt(attempt.filename().native());
    std::error_code unknown;
    const bool has_begun = std::filesystem::exists(attempt / "start.json", unknown);
    if (!of_job || has_begun || (last_ && last_->attempt == attempt.filename())) return;
    const bool is_known = (jobs_.slurm && jobs_.slurm->number == of_job->job) ||
                          std::ranges::find(jobs_.others, of_job->job, &SlurmJob::number) != jobs_.others.end();
    const std::string error = last_error(attempt);
    if (!is_known && !error.empty()) report_.others.push_back({of_job->job, "", "did not begin: " + error});
  }

  void estimate() {
    if (!is_at_work(report_.state)) return;
    const std::vector<AttemptRecord> attempts = readable_attempts(run_);
    const double began = attempts.empty() ? 0 : static_cast<double>(attempts.back().started);
    report_.items_per_second = items_per_second(run_, began);
    const auto left = static_cast<double>(report_.counts.items_total - report_.counts.items_done);
    if (report_.items_per_second > 0) report_.seconds_left = left / report_.items_per_second;
  }

  void show_log() {
    if (report_.state != "failed" && report_.state != "lost") return;
    // Of a failure the attempt that had it: a later one may have been refused.
    const bool has_said = last_ && report_.state == "failed" && !last_->attempt.empty();
    const std::filesystem::path attempt = has_said ? run_.attempts_path() / last_->attempt : last_attempt(run_);
    if (!attempt.empty()) report_.log_lines = last_lines(attempt, 5);
  }

  const RunDirectory& run_;
  const std::optional<RunState> last_;  ///< as the last attempt left it
  const bool submitted_;
  RunJobs jobs_;
  RunReport report_;
};

bool has_more_than_a_state(const RunDirectory& run) {
  return run.has_manifest() || directory_exists(run.attempts_path()) || !last_submission(run).empty() ||
         file_exists(run.lease_path());  // an input is being imported
}

void check_directory(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return;
  fail(ExitCode::input, "status: {}: expected a run directory{}", path.native(), error ? ": " + error.message() : "");
}

}  // namespace

bool RunReport::has_ended() const {
  if (slurm && !slurm->has_ended() && state != "complete" && state != "failed") return false;
  constexpr std::array kEnded = {"complete", "failed", "interrupted", "cancelled", "lost", "new", kUnreadable};
  return std::ranges::find(kEnded, state) != kEnded.end();
}

std::string joint_state(const std::optional<RunState>& state, bool submitted, const std::optional<SlurmJob>& job) {
  if (job && job->is_pending() && (!state || is_unfinished(state->status)))
    return job->restarts > 0 ? "requeued" : "queued";
  if (!state) {
    if (!job) return submitted ? "submitted" : "new";
    if (job->state == "COMPLETING") return "ending";
    if (job->is_running()) return "starting";
    if (job->state == "FAILED" && !job->comment.empty()) return "failed";  // as its script could say nowhere else
    return job->state == "CANCELLED" ? "cancelled" : "lost";
  }
  // The ranks have ended, and the script settles the run.
  if (state->status == RunStatus::interrupted && job && job->is_running()) return "ending";
  // Killed before it could say so.
  if (is_at_work(name_of(state->status)) && job && job->has_ended())
    return std::string(name_of(RunStatus::interrupted));
  return std::string(name_of(state->status));
}

bool is_run_directory(const RunDirectory& run) {
  if (run.has_manifest()) run.read_manifest();  // another program's may be called so
  return file_exists(run.state_path()) || has_more_than_a_state(run);
}

RunReport report_on(const RunDirectory& run) {
  check_directory(run.root());
  if (!is_run_directory(run)) fail(ExitCode::input, "status: {}: expected a run directory", run.root().native());
  if (!has_more_than_a_state(run)) run.read_state();  // a torn one tells nothing
  return Reporter(run).report();
}

}  // namespace switchyard
