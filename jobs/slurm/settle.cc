// `switchyard settle RUN --rc N`: what the batch script asks after each attempt.
#include "run/settle.h"

#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "jobs/job.h"
#include "jobs/slurm/run_jobs.h"
#include "jobs/slurm/run_report.h"
#include "jobs/slurm/settle.h"
#include "run/attempt_log.h"
#include "run/lease.h"
#include "run/stop.h"

namespace switchyard {

std::string slurm_stop_cause(const std::filesystem::path& attempt, bool was_told) {
  if (const std::string notice = attempt.empty() ? "" : slurm_notice(attempt); !notice.empty()) return notice;
  const std::string id = LeaseHolder::self().job;
  const std::optional<SlurmJob> job = id.empty() ? std::nullopt : find_job(id);
  if (!job) return {};
  if (const std::string why = why_stopped(*job); !why.empty()) return why;
  const double left = seconds_to_job_end().value_or(-1);
  const bool has_limit = left >= 0 && job->time_limit != "UNLIMITED";
  return has_limit && was_told
             ? fmt::format("{} before the end of its time limit {}", duration_text(left), job->time_limit)
             : "";
}

void SettleOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "DIR", "run directory");
  o.add("rc", within(&rc, -1, 255), "N",
        "what srun returned (-1: change nothing, only say what a next attempt would find)");
  o.add("dry-run", &dry_run, "", "change nothing");
  o.positional("run");
  o.require("run");
}

int run_settle(Runtime& runtime, std::span<const std::string> args) {
  SettleOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "settle", args)) return 0;
  const RunDirectory run(options.run);
  if (!is_run_directory(run)) fail(ExitCode::input, "settle: {}: expected a run directory", options.run);
  const bool mend = options.rc >= 0 && !options.dry_run;
  const Settlement settlement =
      settle(run, mend ? std::optional(static_cast<int>(options.rc)) : std::nullopt, slurm_stop_cause);
  log::info("{}: {}", settlement.requeue ? "to be continued" : "no further attempt", settlement.why);
  std::cout << (settlement.requeue ? "requeue" : "stop") << std::endl;
  return 0;
}

}  // namespace switchyard
