#include "jobs/slurm/submission.h"

#include <algorithm>
#include <regex>

#include "base/number.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/slurm/slurm_environment.h"

namespace switchyard {
namespace {

/// Empty for ranges ("2-4") and whatever else is no plain number.
std::optional<int64_t> number_of(const std::string& text) {
  const std::optional<int64_t> value = number_in<int64_t>(text);
  return value && *value > 0 && *value < INT32_MAX ? value : std::nullopt;
}

std::optional<int64_t> product(const std::optional<int64_t>& a, const std::optional<int64_t>& b) {
  return a && b ? std::optional(*a * *b) : std::nullopt;
}

/// The last word wins: one after "--", else submit's option, else what sbatch does of itself.
std::optional<int64_t> count(const Submission& s, const SbatchOption& option, int64_t own, int64_t otherwise) {
  if (const auto text = s.sbatch_options.value_of(option)) return number_of(*text);
  return own > 0 ? own : otherwise;
}

/// Whether srun's own words count ranks.
bool says_how_many(const std::string& srun_flags) {
  static const std::regex kCounts("(^|[ \t])(-[nN]|--n(tasks|odes))");
  return std::regex_search(srun_flags, kCounts);
}

std::string word(const Submission& s, const SbatchOption& option, const std::string& own) {
  return s.sbatch_options.value_of(option).value_or(own);
}

}  // namespace

std::string Submission::path_of(const std::string& path, size_t i) const {
  return is_array() ? replaced(path, "%a", std::to_string(indices[i])) : path;
}

std::vector<size_t> Submission::runs_to_check() const {
  constexpr size_t kMostChecked = 1000;
  if (num_runs() > kMostChecked) return {0, num_runs() - 1};
  std::vector<size_t> all(num_runs());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  return all;
}

JobArguments Submission::arguments_of(size_t i) const {
  if (!own_values.empty()) return {own_values[i], start_directory()};
  JobArguments of_run{values, start_directory()};
  for (auto& [option, words] : of_run.values)
    for (std::string& value : words) value = path_of(value, i);
  return of_run;
}

std::filesystem::path Submission::start_directory() const {
  return std::filesystem::path(absolute_path(".", ExitCode::environment)) /
         sbatch_options.value_of(kChdir).value_or("");
}

std::set<std::string> Submission::chosen_options() const {
  std::set<std::string> chosen;
  for (const SbatchOption& option : {kAccount, kClusters, kConstraint, kPartition, kQos, kReservation})
    if (sbatch_options.has(option)) chosen.emplace(option.name);
  if (!options.account.empty()) chosen.emplace(kAccount.name);
  if (!options.partition.empty()) chosen.emplace(kPartition.name);
  if (!options.qos.empty()) chosen.emplace(kQos.name);
  return chosen;
}

bool Submission::goes_elsewhere() const {
  return sbatch_options.has(kClusters) || !variable("SBATCH_CLUSTERS").empty() || !variable("SLURM_CLUSTERS").empty();
}

JobShape shape_of(const Submission& s) {
  const SubmitOptions& o = s.options;
  JobShape shape;
  shape.partition = word(s, kPartition, o.partition);
  if (shape.partition.empty()) shape.partition = variable("SBATCH_PARTITION");
  shape.time = word(s, kTime, o.time);
  shape.overcommits = s.sbatch_options.has(kOvercommit);
  // Told the number of ranks alone, or the nodes by name, Slurm gives as many nodes as it takes.
  const bool has_nodes = o.nodes > 0 || s.sbatch_options.has(kNodes);
  const bool finds_nodes = s.sbatch_options.has(kTasks) || s.sbatch_options.has(kNodelist);
  if (has_nodes || !finds_nodes) shape.nodes = count(s, kNodes, o.nodes, 1);
  shape.gpus_per_node = count(s, kGpusPerNode, o.gpus_per_node, 0);
  shape.cores_per_rank = count(s, kCpusPerTask, o.cpus_per_task, 1);
  const std::optional<int64_t> per_node = count(s, kTasksPerNode, o.tasks_per_node, 1);
  shape.ranks = s.sbatch_options.has(kTasks) ? count(s, kTasks, 0, 1) : product(shape.nodes, per_node);
  if (s.sbatch_options.has(kTasksPerGpu) || says_how_many(o.srun_flags)) shape.ranks.reset();
  return shape;
}

int64_t least_cores_per_node(const JobShape& shape) {
  if (shape.overcommits || !shape.cores_per_rank) return 1;
  const int64_t ranks = shape.ranks && shape.nodes ? *shape.ranks / *shape.nodes : 1;
  return std::max<int64_t>(1, ranks) * *shape.cores_per_rank;
}

int64_t total_cores(const JobShape& shape) {
  return shape.overcommits ? 1 : shape.ranks.value_or(1) * shape.cores_per_rank.value_or(1);
}

}  // namespace switchyard
