#include "jobs/scale/scale_study.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>

#include "base/hash.h"
#include "io/command.h"
#include "io/file.h"
#include "io/json_field.h"
#include "jobs/batch/job_needs.h"
#include "jobs/input/input_options.h"
#include "jobs/records/provenance.h"
#include "jobs/scale/pop.h"
#include "train/data/permutation.h"

namespace switchyard {
namespace {

constexpr std::string_view kRun = "run";

template <class T>
std::string joined(const std::vector<T>& values) {
  return fmt::format("{}", fmt::join(values, ","));
}

/// What every rank has of a job's work: the option whose value is multiplied by the ranks in weak scaling.
std::string work_option(const std::string& job) {
  return job == "score" ? "sample-tokens" : "step-records";
}

/// Of the folder's definition, which must be whole.
ScaleDefinition read_definition(const std::filesystem::path& path) {
  return ScaleDefinition::from_json(parse_json(read_text_file(path), path.native()), path.native());
}

}  // namespace

std::string_view name_of(Scaling scaling) {
  return scaling == Scaling::strong ? "strong" : "weak";
}

Fingerprint ScaleDefinition::fields() const {
  Fingerprint fields = {{"job", job},
                        {"mode", std::string(name_of(scaling))},
                        {local ? "ranks" : "nodes", joined(sizes)},
                        {"reps", std::to_string(repetitions)}};
  if (!local) fields["tasks-per-node"] = std::to_string(tasks_per_node);
  if (!over.empty()) fields["over"] = fmt::format("{} {}", over, joined(values));
  for (const auto& [name, words] : options) fields["option " + name] = fmt::format("{}", fmt::join(words, " "));
  return fields;
}

Json ScaleDefinition::to_json() const {
  return {{"job", job},
          {"mode", name_of(scaling)},
          {"local", local},
          {"sizes", sizes},
          {"tasks_per_node", tasks_per_node},
          {"over", over},
          {"values", values},
          {"reps", repetitions},
          {"options", options}};
}

ScaleDefinition ScaleDefinition::from_json(const Json& json, std::string_view subject) {
  ScaleDefinition d;
  d.job = json_field<std::string>(json, "job", subject);
  d.scaling = json_field<std::string>(json, "mode", subject) == "weak" ? Scaling::weak : Scaling::strong;
  d.local = json_field<bool>(json, "local", subject);
  d.sizes = json_field<std::vector<int64_t>>(json, "sizes", subject);
  d.tasks_per_node = json_field<int64_t>(json, "tasks_per_node", subject);
  d.over = json_field<std::string>(json, "over", subject);
  d.values = json_field<std::vector<std::string>>(json, "values", subject);
  d.repetitions = json_field<int64_t>(json, "reps", subject);
  d.options = json_field<std::map<std::string, OptionValues>>(json, "options", subject);
  return d;
}

ScaleStudy::ScaleStudy(RunOptions options, ScaleDefinition definition, std::span<const JobEntry> jobs)
    : options_(std::move(options)), definition_(std::move(definition)), jobs_(jobs) {
  options_.run = absolute_path(options_.run, ExitCode::output);
}

ScaleStudy::ScaleStudy(const std::filesystem::path& folder, std::span<const JobEntry> jobs)
    : definition_(read_definition(folder / "study.json")), jobs_(jobs) {
  options_.run = absolute_path(folder, ExitCode::output);
}

const JobEntry& ScaleStudy::entry() const {
  return *std::ranges::find(jobs_, definition_.job, &JobEntry::name);
}

int64_t ScaleStudy::num_points() const {
  const auto values = std::max<int64_t>(1, std::ssize(definition_.values));
  return std::ssize(definition_.sizes) * values * definition_.repetitions;
}

/// Points are numbered in the order in which they are measured: a random one, so that what changes on the machine in
/// the meantime is not taken for scaling.
ScalePoint ScaleStudy::point(int64_t number) const {
  const ScaleDefinition& d = definition_;
  const std::string text = fingerprint_hash(d.fields());
  int64_t place = Permutation(num_points(), hash_of(std::as_bytes(std::span(text))).low)(number);
  ScalePoint point;
  point.repetition = place % d.repetitions;
  place /= d.repetitions;
  if (!d.values.empty()) {
    point.value = d.values[static_cast<size_t>(place % std::ssize(d.values))];
    place /= std::ssize(d.values);
  }
  point.size = d.sizes[static_cast<size_t>(place)];
  const int64_t per_node = d.over == "tasks-per-node" ? std::stoll(point.value) : d.tasks_per_node;
  point.ranks = d.local ? point.size : point.size * per_node;
  return point;
}

std::vector<std::string> ScaleStudy::swept() const {
  std::vector<std::string> names = {definition_.local ? "ranks" : "nodes"};
  if (!definition_.over.empty()) names.push_back(definition_.over);
  names.emplace_back("repetition");
  return names;
}

std::vector<std::string> ScaleStudy::values_of(int64_t number) const {
  const ScalePoint p = point(number);
  std::vector<std::string> values = {std::to_string(p.size)};
  if (!definition_.over.empty()) values.push_back(p.value);
  values.push_back(std::to_string(p.repetition));
  return values;
}

std::vector<Stage> ScaleStudy::stages(int64_t number) const {
  const ScalePoint p = point(number);
  Stage stage{definition_.job, std::string(kRun), folder(number) / kRun, definition_.options};
  if (!definition_.over.empty() && definition_.over != "tasks-per-node") stage.options[definition_.over] = {p.value};
  if (definition_.scaling == Scaling::weak) {
    OptionValues& work = stage.options[work_option(definition_.job)];
    int64_t grown = 0;
    if (__builtin_mul_overflow(std::stoll(work.at(0)), int64_t{p.ranks}, &grown))
      fail(ExitCode::usage, "--{} {}: {} ranks with as much each are too much, expected at most {} in all",
           work_option(definition_.job), work.at(0), p.ranks, INT64_MAX);
    work = {std::to_string(grown)};
  }
  return {stage};
}

std::vector<std::string> ScaleStudy::local_command(int64_t number, const Stage& stage,
                                                   const std::filesystem::path& config) const {
  const std::string folder_of_mpirun = folder_of_program("mpirun");
  if (folder_of_mpirun.empty()) fail(ExitCode::environment, "scale --local: expected mpirun in the PATH, found none");
  // Ranks beyond the cores are measured as well, and called functional.
  std::vector<std::string> command = {
      folder_of_mpirun + "/mpirun", "-n", std::to_string(point(number).ranks), "--oversubscribe", "--bind-to", "none"};
  if (::geteuid() == 0) command.emplace_back("--allow-run-as-root");  // who has started this is
  command.insert(command.end(), {own_program(), stage.job, "--config", config.native()});
  std::ranges::copy(options_.timeouts(), std::back_inserter(command));
  return command;
}

void ScaleStudy::prepare(int64_t number) const {
  for (const Stage& stage : stages(number)) {
    if (!directory_exists(stage.run)) continue;
    if (!is_done(stage)) std::filesystem::remove_all(stage.run);
  }
}

/// A run whose disk was full as it told of its ranks, or that was killed there, is complete and has not been measured.
bool ScaleStudy::is_done(const Stage& stage) const {
  return is_complete(stage) && file_exists(RunDirectory(stage.run).ranks_path());
}

std::map<std::string, double> ScaleStudy::metrics_of(int64_t number) const {
  const PointRecord record = read_point_record(RunDirectory(stages(number).front().run));
  const PopFactors pop = pop_factors(record);
  const RoutingShares routing = routing_shares(record);
  const auto tokens = static_cast<double>(record.tokens());
  std::map<std::string, double> metrics = {{"world_size", record.num_ranks()},
                                           {"ranks_per_group", record.ep},
                                           {"threads_per_rank", record.threads},
                                           {"attempts", static_cast<double>(record.attempts)},
                                           {"tokens", tokens},
                                           {"load", record.load()},
                                           {"work", record.work()},
                                           {"finish", record.finish()},
                                           {"total", record.total()},
                                           {"tokens_per_second", tokens / record.work()},
                                           {"useful", pop.useful},
                                           {"wait", pop.wait},
                                           {"transfer", pop.transfer},
                                           {"overhead", pop.overhead},
                                           {"other", pop.other},
                                           {"load_balance", pop.load_balance},
                                           {"communication_efficiency", pop.communication_efficiency},
                                           {"parallel_efficiency", pop.parallel_efficiency()},
                                           {"experts_per_rank", routing.experts_per_rank},
                                           {"tokens_per_expert", routing.tokens_per_expert},
                                           {"expert_imbalance", routing.expert_imbalance},
                                           {"expected_remote_share", routing.expected_remote},
                                           {"remote_share", routing.remote},
                                           {"shares_cores", record.shares_cores() ? 1 : 0}};
  double memory = 0;
  for (const RankTimes& rank : record.ranks) memory = std::max(memory, static_cast<double>(rank.memory_bytes));
  metrics["memory_bytes"] = memory;
  if (std::isfinite(record.predicted_work)) {
    metrics["predicted_work"] = record.predicted_work;
    metrics["predicted_transfer"] = record.predicted_transfer / record.work();
    metrics["predicted_total"] = record.predicted_total;
  }
  return metrics;
}

Json ScaleStudy::manifest_info() const {
  return provenance("scale");
}

void ScaleStudy::keep_file() const {
  write_file_atomically(kept_file(), to_text(definition_.to_json(), 2) + "\n");
}

/// Text is cut to what a batch allows unless it is said how long a record may be.
void ScaleStudy::require_same_text() const {
  const ScaleDefinition& d = definition_;
  if (d.over != "batch-tokens" || d.options.contains("max-tokens")) return;
  InputOptions options;
  if (const auto format = d.options.find("input-format"); format != d.options.end())
    options.input_format = format->second.front();
  for (const char* option : {"input", "data", "eval-data"})
    if (const auto given = d.options.find(option); given != d.options.end())
      for (const std::string& file : given->second)
        if (options.format_of_file(file))
          fail(ExitCode::usage,
               "scale --over batch-tokens: {} is text, which batches cut: expected --max-tokens N, or points differ in "
               "their work",
               file);
}

void ScaleStudy::check(const Submission& request) const {
  const ScaleDefinition& d = definition_;
  std::set<std::string> seen;
  if (d.scaling == Scaling::weak && !d.options.contains(work_option(d.job)))
    fail(ExitCode::usage, "scale --mode weak: expected --{} N, which every rank has, found none", work_option(d.job));
  require_same_text();
  for (int64_t number = 0; number < num_points(); ++number) {
    const ScalePoint p = point(number);
    const Stage stage = stages(number).front();
    JobArguments arguments{stage.options, request.start_directory()};
    arguments.values["run"] = {stage.run.native()};
    naming(fmt::format("point {} ({})", number, name_of(number)), [&] {
      const std::vector<JobNeed> needs = entry().batch->needs(arguments);
      if (!request.waits_for_others() && !is_done(stage)) check_needs(needs, seen);
      if (entry().batch->check_ranks != nullptr) entry().batch->check_ranks(arguments, p.ranks);
    });
  }
}

}  // namespace switchyard
