#include "jobs/slurm/status.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/job.h"

namespace switchyard {
namespace {

/// One bad run among many is a row like the others.
RunReport unreadable(const std::string& path, const std::exception& exception) {
  const Error error = as_error(exception);
  RunReport report;
  report.run = path;
  report.state = kUnreadable;
  report.counts.exit_code = static_cast<int>(error.code());
  report.message = error.what();
  return report;
}

RunReport report_or_error(const std::filesystem::path& path) {
  try {
    return report_on(RunDirectory(path));
  } catch (const std::exception& exception) {
    return unreadable(path.native(), exception);
  }
}

/// Whether a folder's entry is a run, or what may have been one and cannot be read.
bool is_run_or_unreadable(const std::filesystem::path& path) {
  try {
    return directory_exists(path) && is_run_directory(RunDirectory(path));
  } catch (const Error&) {
    return true;
  }
}

std::vector<std::filesystem::path> runs_in(const std::filesystem::path& path) {
  if (!directory_exists(path) || is_run_directory(RunDirectory(path))) return {path};
  std::vector<std::filesystem::path> runs;
  for (const std::filesystem::path& entry : list_directory(path))
    if (is_run_or_unreadable(entry)) runs.push_back(path == "." ? entry.filename() : entry);
  if (runs.empty())
    fail(ExitCode::input, "status: {}: expected a run directory, or a folder of some, found neither", path.native());
  return runs;
}

std::string progress(const RunState& s) {
  if (s.units_total == 0) return s.units_done == 0 ? "-" : fmt::format("{}/?", s.units_done);
  return fmt::format("{}/{} {:3}%", s.units_done, s.units_total, 100 * s.units_done / s.units_total);
}

/// What the runs of a table count in; those that have not begun do not say.
std::string common_name(const std::vector<RunReport>& reports, std::string RunState::*name) {
  const std::string unknown = RunState().*name;
  std::string common = unknown;
  for (const RunReport& r : reports) {
    const std::string& own = r.counts.*name;
    if (own == unknown || own == common) continue;
    if (common != unknown) return unknown;
    common = own;
  }
  return common;
}

/// "3 attempts in 02:13:10, 00:10:00 of it waiting, 5.2 node-hours"
std::string cost_text(const RunCost& cost) {
  std::string text =
      fmt::format("{} attempt{} in {}, {} of it waiting", cost.attempts, cost.attempts == 1 ? "" : "s",
                  duration_text(static_cast<double>(cost.elapsed)), duration_text(static_cast<double>(cost.waiting)));
  if (cost.node_hours) text += fmt::format(", {:.2f} node-hours", *cost.node_hours);
  return text;
}

/// "job 18 FAILED: failed with exit code 66"; Slurm may have forgotten the state.
std::string text_of(const OtherJob& job) {
  std::string text = "job " + job.id;
  if (!job.state.empty()) text += " " + job.state;
  return job.why.empty() ? text : text + ": " + job.why;
}

/// Below a run's row, in this order.
std::vector<std::string> notes(const RunReport& r) {
  std::vector<std::string> lines;
  if (!r.message.empty()) lines.push_back(r.message);
  for (const std::string& line : r.log_lines)
    if (r.message.empty() || line.find(r.message) == std::string::npos) lines.push_back("| " + line);
  for (const OtherJob& other : r.others) lines.push_back("also: " + text_of(other));
  if (r.cost && r.has_ended()) lines.push_back(cost_text(*r.cost));
  return lines;
}

void print(const std::vector<RunReport>& reports, bool as_json) {
  if (as_json) {
    Json json = Json::array();
    for (const RunReport& report : reports) json.push_back(to_json(report));
    std::cout << to_text(json, 2) << std::endl;
    return;
  }
  for (const std::string& line : status_table(reports)) std::cout << line << '\n';
  std::cout << std::flush;
}

/// Redraws until all have ended; the last reports.
std::vector<RunReport> watch(const StatusOptions& options) {
  const bool on_terminal = ::isatty(STDOUT_FILENO) != 0;
  while (true) {
    std::vector<RunReport> reports = report_on_all(options.run);
    if (on_terminal) std::cout << "\x1b[H\x1b[2J";  // cursor home, screen cleared
    print(reports, options.json);
    if (!std::cout || std::ranges::all_of(reports, &RunReport::has_ended)) return reports;
    std::this_thread::sleep_for(std::chrono::seconds(options.every));
    if (!on_terminal) std::cout << '\n';
  }
}

}  // namespace

std::vector<RunReport> report_on_all(const std::vector<std::string>& paths) {
  std::vector<RunReport> reports;
  for (const std::string& path : paths) {
    try {
      for (const std::filesystem::path& run : runs_in(path)) reports.push_back(report_or_error(run));
    } catch (const std::exception& exception) {
      reports.push_back(unreadable(path, exception));
    }
  }
  return reports;
}

Json to_json(const RunReport& r) {
  Json json = {{"run", path_to_json(r.run)},
               {"state", r.state},
               {"exit_code", r.counts.exit_code},
               {"message", r.message},
               {"units", r.counts.units},
               {"items", r.counts.items},
               {r.counts.units + "_done", r.counts.units_done},
               {r.counts.units + "_total", r.counts.units_total},
               {r.counts.items + "_done", r.counts.items_done},
               {r.counts.items + "_total", r.counts.items_total},
               {r.counts.items + "_per_second", r.items_per_second},
               {"rejects", r.counts.rejects},
               {"attempt", r.counts.attempt},
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
  json["other_jobs"] = Json::array();
  for (const OtherJob& other : r.others)
    json["other_jobs"].push_back({{"id", other.id}, {"state", other.state}, {"why", other.why}});
  if (r.cost)
    json["cost"] = {{"attempts", r.cost->attempts},
                    {"elapsed_seconds", r.cost->elapsed},
                    {"waiting_seconds", r.cost->waiting},
                    {"node_hours", r.cost->node_hours ? Json(*r.cost->node_hours) : Json()}};
  return json;
}

std::vector<std::string> status_table(const std::vector<RunReport>& reports) {
  size_t width = 3;
  for (const RunReport& r : reports) width = std::max(width, r.run.size());
  std::vector<std::string> lines = {fmt::format("{:<{}}  {:<11}  {:>16}  {:>9}  {:>8}  {:>8}  {:<11}  {}", "run", width,
                                                "state", common_name(reports, &RunState::units),
                                                common_name(reports, &RunState::items) + "/s", "left", "job", "slurm",
                                                "nodes")};
  for (const RunReport& r : reports) {
    lines.push_back(fmt::format("{:<{}}  {:<11}  {:>16}  {:>9}  {:>8}  {:>8}  {:<11}  {}", r.run, width, r.state,
                                progress(r.counts), r.items_per_second > 0 ? rate_text(r.items_per_second) : "-",
                                r.seconds_left < 0 ? "-" : duration_text(r.seconds_left), r.job.empty() ? "-" : r.job,
                                r.slurm ? r.slurm->state : "-",
                                r.slurm && r.slurm->nodes != "(null)" ? r.slurm->nodes : ""));
    for (const std::string& note : notes(r)) lines.push_back("    " + note);
  }
  return lines;
}

void StatusOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "DIR ...", "run directories, or folders of them (the current folder unless given)");
  o.add("watch", &watch, "", "again and again until all have ended");
  o.add("every", within(&every, 1, 86400), "S", "with --watch: seconds between two looks");
  o.add("json", &json, "", "one JSON document instead of a table (with --watch one per look)");
  o.add("dry-run", &dry_run, "", "as without: nothing is ever changed");
  o.positional("run");
}

int run_status(Runtime& runtime, std::span<const std::string> args) {
  StatusOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "status", args)) return 0;
  if (!options.watch && set.is_given("every")) fail(ExitCode::usage, "status: --every is of no use without --watch");
  if (options.run.empty()) options.run = {"."};
  std::vector<RunReport> reports;
  if (options.watch) {
    reports = watch(options);
  } else {
    reports = report_on_all(options.run);
    print(reports, options.json);
  }
  int code = static_cast<int>(ExitCode::complete);
  for (const RunReport& report : reports) {
    if (report.state != kUnreadable) continue;
    log::error("{}", report.message);
    if (code == 0) code = report.counts.exit_code;
  }
  return code;
}

}  // namespace switchyard
