#include "jobs/batch/status.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>

#include "base/log.h"
#include "io/attempts.h"
#include "io/lease.h"
#include "jobs/batch/attempt_log.h"
#include "jobs/batch/submissions.h"
#include "jobs/job.h"
#include "jobs/text.h"

namespace switchyard {
namespace {

constexpr std::string_view kBadRun = "error";

std::optional<double> number_of(const Json& line, std::string_view field) {
  const Json* value = line.is_object() ? find_field(line, field) : nullptr;
  return value != nullptr && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
}

/// Records per second over the last chunks of this attempt in metrics.jsonl; 0 when there are none.
double recent_rate(const RunDirectory& run) {
  constexpr size_t kLines = 64;
  std::ifstream file(run.metrics_path());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (lines.size() > kLines) lines.erase(lines.begin(), lines.end() - kLines);
  const std::vector<Attempt> attempts = list_attempts(run);
  const double began = attempts.empty() ? 0 : static_cast<double>(attempts.back().started);
  double records = 0, first = 0, last = 0;
  for (const std::string& text : lines) {
    const Json line = parse_json_if_whole(text).value_or(Json());  // the last may be half written
    const std::optional<double> time = number_of(line, "time"), scored = number_of(line, "records");
    if (!time || !scored || *time < began) continue;
    last = *time;
    if (first == 0) first = last - number_of(line, "seconds").value_or(0);
    records += *scored + number_of(line, "rejects").value_or(0);
  }
  return last > first ? records / (last - first) : 0;
}

bool is_at_work(const std::string& state) {
  return state == "running" || state == "merging";
}

/// Whether attempt "17.0" is of job "17". An array's task has a number of its own besides "17_3": taken to be.
bool is_of(const std::string& attempt, const std::string& job) {
  return job.find('_') != std::string::npos || attempt.starts_with(job + ".");
}

/// The job that is at work; otherwise the first of the last submission that has not ended, or its last that Slurm
/// knows.
void find_job(RunReport& report, const std::optional<RunState>& state, const std::vector<std::string>& submitted) {
  if (state && (state->status == RunStatus::running || state->status == RunStatus::merging) &&
      !state->attempt.starts_with("local")) {
    const std::string job = state->attempt.substr(0, state->attempt.find('.'));
    const std::vector<SlurmJob> jobs = find_jobs(job);
    if (!jobs.empty() && !jobs.front().has_ended()) {
      report.job = jobs.front().id;
      report.slurm = jobs.front();
      return;
    }
  }
  for (const std::string& job : submitted) {
    if (report.slurm && !report.slurm->has_ended()) break;
    const std::vector<SlurmJob> jobs = find_jobs(job);
    if (!jobs.empty()) report.slurm = jobs.front();
    if (!jobs.empty() || report.job.empty()) report.job = job;
  }
}

/// A minute without renewing it, or none at all. Another host's clock may differ: this alone proves nothing.
bool lease_is_old(const RunDirectory& run) {
  std::error_code error;
  const auto renewed = std::filesystem::last_write_time(run.lease_path(), error);
  return error || std::filesystem::file_time_type::clock::now() - renewed > std::chrono::minutes(1);
}

/// Why a run whose state says that it is at work is not, though it could not say so; empty: it may well be.
std::string why_gone(const RunDirectory& run, const RunState& state, const RunReport& report) {
  if (const auto holder = read_lease_holder(run.lease_path()); holder && is_gone(*holder))
    return fmt::format("{} was killed", holder->describe());
  if (!report.slurm && !state.attempt.starts_with("local") && lease_is_old(run) && slurm_answers())
    return fmt::format("job {} is gone, and Slurm remembers it no more",
                       state.attempt.substr(0, state.attempt.find('.')));
  return {};
}

void check_directory(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return;
  fail(ExitCode::input, "status: {}: expected a run directory{}", path.native(), error ? ": " + error.message() : "");
}

/// One bad run among many is a row like the others.
RunReport report_or_error(const RunDirectory& run) {
  try {
    return report_on(run);
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    RunReport report;
    report.run = run.root().native();
    report.state = kBadRun;
    report.counts.exit_code = static_cast<int>(error.code());
    report.message = error.what();
    return report;
  }
}

std::string progress(const RunState& s) {
  return s.chunks_total == 0 ? "-" : fmt::format("{}/{}", s.chunks_done, s.chunks_total);
}

}  // namespace

std::string joint_state(const std::optional<RunState>& state, bool submitted, const std::optional<SlurmJob>& job) {
  if (!state) {
    if (!job) return submitted ? "submitted" : "new";
    return job->is_pending() ? "queued" : job->is_running() ? "starting" : "lost";
  }
  const bool at_work = state->status == RunStatus::running || state->status == RunStatus::merging;
  if (!at_work && state->status != RunStatus::interrupted) return std::string(name_of(state->status));
  if (job && job->is_pending()) return job->restarts > 0 ? "requeued" : "queued";
  // Killed before it could say so.
  if (at_work && job && job->has_ended()) return std::string(name_of(RunStatus::interrupted));
  return std::string(name_of(state->status));
}

RunReport report_on(const RunDirectory& run) {
  RunReport report;
  report.run = run.root().native();
  check_directory(run.root());
  std::optional<RunState> state = run.find_state();
  const std::vector<std::string> submitted = last_submission(run);
  if (!state && submitted.empty() && !run.has_manifest())
    fail(ExitCode::input, "status: {}: expected a run directory", report.run);
  find_job(report, state, submitted);
  // A job that is queued, or loading, for a run that an earlier one left says nothing of its own yet.
  if (state && report.slurm && !report.slurm->has_ended() && !is_of(state->attempt, report.job)) state.reset();
  report.state = joint_state(state, !submitted.empty(), report.slurm);
  if (state) {
    report.counts = *state;
    report.counts.chunks_done = std::max(state->chunks_done, std::ssize(run.shards_present()));
    report.message = state->message;
  }
  if (report.message.empty() && report.slurm && report.slurm->is_pending()) report.message = report.slurm->reason;
  if (report.state == "interrupted" && report.slurm && report.slurm->has_ended()) {
    const std::string ended = fmt::format("job {} is {}", report.job, report.slurm->state);
    report.message = report.message.empty() ? ended : fmt::format("{}; {}", report.message, ended);
  }
  if (state && is_at_work(report.state)) {
    if (const std::string why = why_gone(run, *state, report); !why.empty()) {
      report.state = name_of(RunStatus::interrupted);
      report.message = why;
    }
  }
  if (is_at_work(report.state)) {
    report.records_per_second = recent_rate(run);
    const auto left = static_cast<double>(report.counts.records_total - report.counts.records_done);
    if (report.records_per_second > 0) report.seconds_left = left / report.records_per_second;
  }
  if (report.state == "failed" || report.state == "lost") {
    const std::filesystem::path attempt = last_attempt(run);
    if (!attempt.empty()) report.log_lines = last_lines(attempt, 5);
  }
  return report;
}

Json to_json(const RunReport& r) {
  Json json = {{"run", path_to_json(r.run)},
               {"state", r.state},
               {"exit_code", r.counts.exit_code},
               {"message", r.message},
               {"chunks_done", r.counts.chunks_done},
               {"chunks_total", r.counts.chunks_total},
               {"records_done", r.counts.records_done},
               {"records_total", r.counts.records_total},
               {"rejects", r.counts.rejects},
               {"attempt", r.counts.attempt},
               {"records_per_second", r.records_per_second},
               {"seconds_left", r.seconds_left < 0 ? Json() : Json(r.seconds_left)},
               {"job", r.job},
               {"log", r.log_lines}};
  if (r.slurm)
    json["slurm"] = {{"id", r.slurm->id},
                     {"state", r.slurm->state},
                     {"reason", r.slurm->reason},
                     {"nodes", r.slurm->nodes},
                     {"restarts", r.slurm->restarts},
                     {"run_time", r.slurm->run_time},
                     {"time_limit", r.slurm->time_limit}};
  return json;
}

std::vector<std::string> status_table(const std::vector<RunReport>& reports) {
  size_t width = 3;
  for (const RunReport& r : reports) width = std::max(width, r.run.size());
  std::vector<std::string> lines = {fmt::format("{:<{}}  {:<11}  {:>11}  {:>9}  {:>8}  {:>8}  {:<11}  {}", "run", width,
                                                "state", "chunks", "records/s", "left", "job", "slurm", "nodes")};
  for (const RunReport& r : reports) {
    lines.push_back(fmt::format("{:<{}}  {:<11}  {:>11}  {:>9}  {:>8}  {:>8}  {:<11}  {}", r.run, width, r.state,
                                progress(r.counts), r.records_per_second > 0 ? rate_text(r.records_per_second) : "-",
                                r.seconds_left < 0 ? "-" : duration_text(r.seconds_left), r.job.empty() ? "-" : r.job,
                                r.slurm ? r.slurm->state : "-",
                                r.slurm && r.slurm->nodes != "(null)" ? r.slurm->nodes : ""));
    if (!r.message.empty()) lines.push_back(fmt::format("{:<{}}  {}", "", width, r.message));
    for (const std::string& line : r.log_lines) lines.push_back(fmt::format("{:<{}}  | {}", "", width, line));
  }
  return lines;
}

void StatusOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "DIR ...", "run directories");
  o.add("json", &json, "", "one JSON document instead of a table");
  o.add("dry-run", &dry_run, "", "as without: nothing is ever changed");
  o.positional("run");
  o.require("run");
}

int run_status(Runtime&, std::span<const std::string> args) {
  StatusOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(set, "status", args)) return 0;
  std::vector<RunReport> reports;
  for (const std::string& run : options.run) reports.push_back(report_or_error(RunDirectory(run)));
  if (options.json) {
    Json json = Json::array();
    for (const RunReport& report : reports) json.push_back(to_json(report));
    std::cout << to_text(json, 2) << '\n';
  } else {
    for (const std::string& line : status_table(reports)) std::cout << line << '\n';
  }
  int code = static_cast<int>(ExitCode::complete);
  for (const RunReport& report : reports) {
    if (report.state != kBadRun) continue;
    log::error("{}", report.message);
    if (code == 0) code = report.counts.exit_code;
  }
  return code;
}

}  // namespace switchyard
