#include "jobs/slurm/submit_checks.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "io/command.h"
#include "io/file.h"
#include "jobs/batch/job_needs.h"
#include "jobs/options/time_limit.h"
#include "jobs/slurm/array_indices.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/slurm_site.h"

namespace switchyard {
namespace {

/// How long before its end the ranks are told. "B:USR1@60" after "--" wins; sbatch's own default is a minute.
int64_t signal_seconds(const Submission& s) {
  const auto signal = s.sbatch_options.value_of(kSignal);
  if (!signal) return s.options.signal_seconds;
  const size_t at = signal->find('@');
  return at == std::string::npos ? 60 : std::atoll(signal->c_str() + at + 1);
}

void check_time(const Submission& s) {
  if (!s.options.time.empty() && !limit_seconds(s.options.time))
    fail(ExitCode::usage, "submit: --time {}: expected a time as sbatch takes it, like 08:00:00 or 1-12:00:00",
         brief(Json(s.options.time)));
  const std::string time = shape_of(s).time;
  const std::optional<int64_t> limit = limit_seconds(time);
  if (limit && *limit > 0 && *limit <= signal_seconds(s))  // 0: no limit
    fail(ExitCode::usage,
         "submit: --time {} is no longer than --signal-seconds {}: the job would be told to stop when it starts", time,
         signal_seconds(s));
}

void check_texts(const Submission& s) {
  const SubmitOptions& o = s.options;
  check_sbatch_value("--name", o.name, kMaxSlurmName);
  check_sbatch_value("--partition", o.partition, kMaxSlurmName);
  check_sbatch_value("--account", o.account, kMaxSlurmName);
  check_sbatch_value("--qos", o.qos, kMaxSlurmName);
  check_sbatch_value("--time", o.time, kMaxSlurmName);
  check_sbatch_value("--memory", o.memory, kMaxSlurmName);
  check_sbatch_value("--array", o.array, kMaxSlurmWord);
  check_sbatch_value("--run", s.run, kMaxSlurmWord);
  check_sbatch_value("working directory", absolute_path(".", ExitCode::environment), kMaxSlurmWord);
  if (s.run.find('\\') != std::string::npos)
    fail(ExitCode::usage,
         "submit: --run: expected a path without backslashes, which Slurm drops from names of logs, "
         "found {}",
         s.run);
  if (o.srun_flags.find_first_of("\n\r") != std::string::npos || !are_shell_words(o.srun_flags))
    fail(ExitCode::usage, "submit: --srun-flags: expected a shell's words on one line, all quotes closed, found {}",
         brief(Json(o.srun_flags)));
}

/// What submit has to know itself.
void check_sbatch_options(const Submission& s) {
  if (const auto array = s.sbatch_options.value_of(kArray))
    fail(ExitCode::usage, "submit: --array {} is expected before \"--\": each task needs a run directory of its own",
         *array);
}

void check_wait(const Submission& s) {
  if (s.options.wait && s.goes_elsewhere())
    fail(ExitCode::usage, "submit: --wait: the job goes to another cluster (--clusters), which is not asked from here");
}

/// A quote that does not end would swallow the script.
void check_setup(const Submission& s) {
  if (s.options.setup.empty()) return;
  const auto result = run_command({"bash", "-n", "-c", fmt::format("{}", fmt::join(s.options.setup, "\n"))});
  if (result && result->exit_code != 0)
    fail(ExitCode::usage, "submit: --setup: expected lines of a shell, found {}", trimmed(result->err));
}

void check_array(const Submission& s) {
  if (s.run.find(kArrayIndex) == std::string::npos)
    fail(ExitCode::usage,
         "submit: --array: the tasks would share run directory {}: put %a, the task's index, into --run", s.run);
  if (s.options.chain > 0) fail(ExitCode::usage, "submit: --array and --chain exclude each other");
}

void check_no_array(const Submission& s) {
  for (const auto& [option, words] : s.values)
    for (const std::string& value : words)
      if (value.find(kArrayIndex) != std::string::npos)
        log::warning("--{} {}: without --array %a is no task's index, but stands for itself", option, value);
}

/// A job that waits for another may find files that are not there yet.
void check_job_needs(const Submission& s) {
  if (s.entry->batch->needs == nullptr) return;
  std::set<std::string> seen;  // many runs may share a model
  for (const size_t i : s.runs_to_check()) {
    const std::vector<JobNeed> needs = s.entry->batch->needs(s.arguments_of(i));
    if (!s.waits_for_others()) check_needs(needs, seen);
  }
}

void check_ranks(const Submission& s, const JobShape& shape) {
  if (s.entry->batch->check_ranks != nullptr && shape.ranks)
    s.entry->batch->check_ranks(s.arguments_of(0), *shape.ranks);
}

/// Why a partition can never run the job; empty: it can.
std::string why_too_small(const JobShape& shape, const std::string& name, const std::vector<PartitionNode>& nodes) {
  const int64_t cores = least_cores_per_node(shape), gpus = shape.gpus_per_node.value_or(0);
  int64_t fitting = 0, cores_there = 0, most_cores = 0, most_gpus = 0;
  for (const PartitionNode& node : nodes) {
    most_cores = std::max(most_cores, node.cores);
    most_gpus = std::max(most_gpus, node.gpus);
    if (node.cores < cores || node.gpus < gpus) continue;
    ++fitting;
    cores_there += node.cores;
  }
  const int64_t wanted = shape.nodes.value_or(1);
  if (fitting >= wanted && cores_there >= total_cores(shape)) return {};
  return fmt::format(
      "partition {} has {} nodes of up to {} cores and {} GPUs; asked for: {} nodes of {} cores and {} GPUs, {} cores "
      "in "
      "all",
      name, nodes.size(), most_cores, most_gpus, wanted, cores, gpus, std::max(total_cores(shape), wanted * cores));
}

/// What may keep a job waiting in a partition that can run it.
void warn_of_waiting(const JobShape& shape, const std::string& name, const std::vector<PartitionNode>& nodes) {
  const auto is_up = [](const PartitionNode& node) {
    return std::ranges::none_of(std::initializer_list<std::string_view>{"down", "drain", "fail", "maint", "unk"},
                                [&](std::string_view state) { return node.state.starts_with(state); });
  };
  if (const int64_t up = std::ranges::count_if(nodes, is_up); up < shape.nodes.value_or(1))
    log::warning("of partition {}'s {} nodes {} are up now, {} are asked for: the job waits for more", name,
                 nodes.size(), up, shape.nodes.value_or(1));
  const std::optional<int64_t> most = limit_seconds(nodes.front().time_limit), asked = limit_seconds(shape.time);
  const bool is_unlimited = asked && *asked == 0;
  if (most && *most > 0 && asked && (*asked > *most || is_unlimited))
    log::warning(
        "--time {} is longer than the {} that partition {} allows: unless your QOS allows more, the job waits for ever",
        shape.time, nodes.front().time_limit, name);
}

/// Whether the job may go there: to one of those asked for ("a,b"), or to the cluster's default.
bool is_asked_for(const PartitionNode& node, const std::string& partitions) {
  if (partitions.empty()) return node.is_default;
  return fmt::format(",{},", partitions).find(fmt::format(",{},", node.partition)) != std::string::npos;
}

/// Slurm takes jobs that no node will ever do for, unless the site says otherwise.
void check_partition(const Submission& s, const JobShape& shape) {
  const bool asks = shape.nodes.value_or(1) > 1 || total_cores(shape) > 1 || shape.gpus_per_node.value_or(0) > 0 ||
                    !shape.time.empty();
  if (!asks || s.goes_elsewhere()) return;
  std::map<std::string, std::vector<PartitionNode>> partitions;
  for (const PartitionNode& node : partition_nodes())
    if (is_asked_for(node, shape.partition)) partitions[node.partition].push_back(node);
  std::vector<std::string> reasons;
  for (const auto& [name, nodes] : partitions) {
    const std::string reason = why_too_small(shape, name, nodes);
    if (reason.empty()) return warn_of_waiting(shape, name, nodes);
    reasons.push_back(reason);
  }
  if (!reasons.empty()) fail(ExitCode::usage, "submit: the job would wait for ever: {}", fmt::join(reasons, "; "));
}

/// An srun that does not know the type fails each time the job starts.
void check_mpi(const Submission& s) {
  const std::string& type = s.options.mpi;
  if (type.empty() || s.goes_elsewhere()) return;
  const std::vector<std::string> offered = mpi_types();
  const auto is_kind = [&](const std::string& known) { return type.starts_with(known); };  // pmix_v4 is a pmix
  if (!offered.empty() && std::ranges::none_of(offered, is_kind))
    fail(ExitCode::usage, "submit: --mpi {}: srun offers {}", type, fmt::join(offered, ", "));
}

/// Slurm makes no folder for a log.
void check_log_folder(const Submission& s, const SbatchOption& option) {
  const std::filesystem::path folder =
      (s.start_directory() / s.sbatch_options.value_of(option).value_or("")).parent_path();
  std::error_code unknown;
  if (!s.sbatch_options.has(option) || folder.native().find('%') != std::string::npos) return;
  if (!std::filesystem::is_directory(folder, unknown))
    log::warning(
        "--{}: there is no folder {} here, and Slurm makes none: on a node without it the job ends at once (0:53)",
        option.name, folder.native());
}

}  // namespace

void check(Submission& s) {
  check_texts(s);
  check_time(s);
  check_sbatch_options(s);
  check_wait(s);
  check_setup(s);
  check_mpi(s);
  for (const SbatchOption& option : {kOutput, kError}) check_log_folder(s, option);
  if (s.is_array() && s.own_values.empty()) {  // a sweep knows its indices
    s.indices = array_indices(s.options.array, s.goes_elsewhere() ? kLargestArraySize : max_array_size());
    check_array(s);
  } else if (!s.is_array()) {
    check_no_array(s);
  }
  check_job_needs(s);
  const JobShape shape = shape_of(s);
  check_ranks(s, shape);
  check_partition(s, shape);
}

}  // namespace switchyard
