#include "jobs/slurm/submit_report.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "io/file.h"
#include "io/json.h"
#include "jobs/options/time_limit.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/file_system.h"
#include "jobs/slurm/slurm_client.h"
#include "run/metrics.h"

namespace switchyard {
namespace {

std::string count_or_unknown(const std::optional<int64_t>& count) {
  return count ? std::to_string(*count) : "as many as Slurm gives";
}

/// The array's points as a shell's pattern.
std::string runs_pattern(const Submission& s) {
  if (!s.is_array()) return shell_word(s.run);
  std::string pattern;
  for (size_t begin = 0; begin <= s.run.size();) {
    const size_t end = std::min(s.run.find(kArrayIndex, begin), s.run.size());
    if (begin > 0) pattern += '*';
    if (end > begin) pattern += shell_word(s.run.substr(begin, end - begin));
    begin = end == s.run.size() ? end + 1 : end + kArrayIndex.size();
  }
  return pattern;
}

void report_time(const Submission& s) {
  if (s.is_array()) return;
  const double left = seconds_left(s.run_directory(0));
  if (left > 0)
    log::info("at the rate so far the rest takes {}: with half as much again, in quarters of an hour, --time {}",
              duration_text(left), limit_text(left * 1.5));
}

void report_logs(const Submission& s, const std::vector<std::string>& ids) {
  const std::string attempts = s.run + "/attempts";
  const auto log = [&](const std::string& name) {
    return s.sbatch_options.value_of(kOutput).value_or(fmt::format("{}/{}.log", attempts, name));
  };
  if (s.is_array()) {
    log::info("{} runs, %a from {} to {}; logs: {}, of the ranks {}/JOB.RESTART/stderr.log", s.num_runs(),
              s.indices.front(), s.indices.back(), log(ids.front() + "_%a"), attempts);
    return;
  }
  for (const std::string& id : ids)
    log::info("logs of job {}: {}, of the ranks {}/{}.0/stderr.log", id, replaced(log(id), "%j", id), attempts, id);
}

}  // namespace

double seconds_left(const RunDirectory& run) {
  const std::optional<RunState> state = run.find_state();
  const double rate = items_per_second(run);
  if (!state || state->status == RunStatus::complete || rate <= 0) return 0;
  return std::max(0.0, static_cast<double>(state->items_total - state->items_done) / rate);
}

void report_request(const Submission& s, bool is_first) {
  const JobShape shape = shape_of(s);
  log::info("asked for: nodes {}, ranks {}, cores per rank {}, GPUs per node {}, time {}, partition {}{}",
            count_or_unknown(shape.nodes), count_or_unknown(shape.ranks), count_or_unknown(shape.cores_per_rank),
            shape.gpus_per_node.value_or(0), shape.time.empty() ? "as the partition has it" : shape.time,
            shape.partition.empty() ? "the cluster's default" : shape.partition,
            s.is_array() ? fmt::format("; {} runs", s.num_runs()) : "");
  if (is_first) report_time(s);
  if (s.run_directory(0).has_manifest()) return;  // a job has been there
  const std::filesystem::path first = s.run_directory(0).root();
  if (const std::string disk = local_disk_of(first); !disk.empty())
    log::info(
        "{} is on {} of this host: whether the nodes see it is unknown until the job looks; if not, slurm-JOB.out here "
        "says so",
        first.native(), disk);
}

void report_jobs(const Submission& s, const std::vector<std::string>& ids) {
  report_logs(s, ids);
  const std::vector<SlurmJob> first = s.goes_elsewhere() ? std::vector<SlurmJob>() : find_jobs(ids.front());
  const bool is_date = !first.empty() && first.front().is_pending() && first.front().start_time.starts_with("2");
  if (is_date) log::info("Slurm expects job {} to start at {}", ids.front(), first.front().start_time);
  log::info("watch: switchyard status {}", runs_pattern(s));
  log::info("cancel: scancel {}{}", fmt::join(ids, " "),
            s.is_array() ? fmt::format(" (one run: scancel {}_{})", ids.front(), s.indices.front()) : "");
}

}  // namespace switchyard
