// `switchyard plan score|train JOB OPTIONS --profile FILE [--nodes LIST] …`: what it would take, and on how many nodes.
#include "jobs/plan/plan_job.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <optional>

#include "base/cpu_model.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"
#include "jobs/options/lists.h"
#include "jobs/options/time_limit.h"
#include "jobs/plan/plan_report.h"
#include "jobs/plan/plan_subject.h"
#include "jobs/plan/planned_machine.h"
#include "jobs/plan/workload.h"

namespace switchyard {
namespace {

/// Options of a job that mean nothing to a plan.
constexpr std::string_view kNotPlanned[] = {"dry-run", "quiet", "profile"};

/// What is varied beside the nodes, in the job's options.
template <class Options>
void vary(Options& job, int64_t& tasks_per_node, const std::string& name, const std::string& value) {
  if (name == "dtype") {
    if (value != "auto" && value != "f32" && value != "bf16")
      fail(ExitCode::usage, "plan --over dtype: expected auto, f32 or bf16, found \"{}\"", value);
    job.dtype = value;
    return;
  }
  const int64_t most = name == "batch-tokens" ? kMaxBatchTokens : name == "threads" ? kMaxThreads : kMaxRanks;
  const int64_t number = count_of("plan --over " + name, value, most);
  if (name == "ep") job.ep = number;
  if (name == "threads") job.threads = number;
  if (name == "batch-tokens") job.batch_tokens = number;
  if (name == "tasks-per-node") tasks_per_node = number;
}

struct Varied {
  std::string name;
  std::vector<std::string> values;
};

/// Every value of each with every one of the others; of nothing the one empty combination.
std::vector<std::vector<std::string>> combinations(std::span<const Varied> over) {
  std::vector<std::vector<std::string>> all(1);
  for (const Varied& option : over) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& combination : all)
      for (const std::string& value : option.values) {
        longer.push_back(combination);
        longer.back().push_back(value);
      }
    all = std::move(longer);
  }
  return all;
}

template <class Options>
class PlanCommand {
 public:
  PlanCommand(Runtime& runtime, std::string job, std::span<const std::string> args)
      : runtime_(runtime), job_(std::move(job)) {
    plan_.describe(set_);
    options_.describe(of_job_);
    std::set<std::string> own;
    for (const auto& option : set_.options()) own.insert(option.name);
    for (const auto& option : of_job_.options()) {
      if (own.contains(option.name) || std::ranges::find(kNotPlanned, option.name) != std::end(kNotPlanned)) continue;
      set_.group(option.group);
      set_.add(option.name, option.target, option.meta, option.help);
    }
    for (const std::string& name : of_job_.required())
      if (name != "run") set_.require(name);
    is_read_ = parse_job_options(runtime, set_, fmt::format("plan {}", job_), args);
    if (options_.run.empty()) options_.run = temporary_path("planned-run");  // there is none
  }

  int run() {
    if (!is_read_) return 0;
    for (const std::string* output : {&plan_.csv, &plan_.report})
      for (const std::string* source : {&plan_.profile, &plan_.workload})
        if (std::error_code none; std::filesystem::equivalent(*output, *source, none))
          fail(ExitCode::usage, "plan: {} would be written over, which is read; expected a new file", *output);
    const PlanTable table = make();
    std::cout << (plan_.json ? to_text(to_json(table), 1) + '\n' : table_text(table));
    if (!plan_.csv.empty()) write_file_atomically(plan_.csv, plan_csv(table));
    if (!plan_.report.empty()) write_file_atomically(plan_.report, plan_page(table));
    return 0;
  }

  PlanTable make() {
    if constexpr (std::is_same_v<Options, TrainOptions>) options_.resolve(set_);
    const std::vector<Varied> over = varied();
    const Profile profile = read_profile(plan_.profile);
    PlanTable table{job_, plan_.profile, profile.machine, {}};
    if (const std::string other = difference(profile.machine); !other.empty()) table.notes.push_back(other);
    const PlanSubject<Options> subject(runtime_, options_, profile, plan_.routing);
    std::optional<Error> refused;
    for (const std::string& nodes : items_of(plan_.nodes))
      for (const std::vector<std::string>& values : combinations(over)) {
        PlanTable::Row row{count_of("plan --nodes", nodes, kMaxRanks), values};
        try {
          row.prediction = predict(subject, profile, over, row);
        } catch (const Error& error) {
          if (error.code() != ExitCode::usage && error.code() != ExitCode::environment) throw;
          row.refusal = error.what();
          refused.emplace(error);
        }
        table.rows.push_back(std::move(row));
      }
    for (const Varied& option : over) table.over.push_back(option.name);
    if (refused && std::ranges::none_of(table.rows, &PlanTable::Row::is_possible)) throw Error(*refused);
    if (!plan_.deadline.empty()) table.deadline = deadline();
    if (!plan_.workload.empty()) {
      const bool training = job_ == "train";
      table.workload = read_workload(plan_.workload, training);
      table.costs = costs_of_year(*table.workload, table.cheapest()->prediction.value(), training);
    }
    return table;
  }

 private:
  /// --over, every value refused as what it is, not as a layout.
  std::vector<Varied> varied() const {
    std::vector<Varied> all;
    for (size_t i = 0; i < plan_.over.size(); i += 2) {
      if (i + 1 == plan_.over.size() || std::ranges::find(kVariedOptions, plan_.over[i]) == std::end(kVariedOptions) ||
          std::ranges::find(all, plan_.over[i], &Varied::name) != all.end())
        fail(ExitCode::usage, "plan --over {}: expected each of {} once at most, and its list, as in --over ep 1,2",
             fmt::join(plan_.over, " "), fmt::join(kVariedOptions, ", "));
      all.push_back({plan_.over[i], items_of(plan_.over[i + 1])});
      for (const std::string& value : all.back().values) {
        Options job = options_;
        int64_t tasks = 1;
        vary(job, tasks, plan_.over[i], value);
      }
    }
    return all;
  }

  Prediction predict(const PlanSubject<Options>& subject, const Profile& profile, std::span<const Varied> over,
                     const PlanTable::Row& row) const {
    Options job = options_;
    int64_t tasks = plan_.tasks_per_node > 0 ? plan_.tasks_per_node : profile.layouts.back().ranks_on_host;
    for (size_t i = 0; i < over.size(); ++i) vary(job, tasks, over[i].name, row.values[i]);
    return subject.predict(job, planned_machine(profile.machine, row.nodes, tasks));
  }

  /// Empty: this machine is like the profile's.
  std::string difference(const ProfiledMachine& machine) const {
    const std::string here = cpu_model();
    if (here == machine.cpu) return {};
    return fmt::format("the profile is another machine's: {}; this one has {}", machine.cpu, here);
  }

  double deadline() const {
    const std::optional<int64_t> seconds = limit_seconds(plan_.deadline);
    if (!seconds || *seconds == 0)
      fail(ExitCode::usage, "plan --deadline {}: expected a time as sbatch takes it, like 08:00:00", plan_.deadline);
    return static_cast<double>(*seconds);
  }

  Runtime& runtime_;
  const std::string job_;
  OptionSet set_, of_job_;
  PlanOptions plan_;
  Options options_;
  bool is_read_ = false;
};

}  // namespace

void PlanOptions::describe(OptionSet& o) {
  o.group("Plan");
  o.add("profile", &profile, "FILE", "what a node can do, from `switchyard calibrate`");
  o.require("profile");
  o.add("nodes", &nodes, "LIST", "numbers of nodes: 1,2,4");
  o.add("tasks-per-node", within(&tasks_per_node, 0, kMaxRanks), "N",
        "ranks of a node (0: as the profile's last layout)");
  o.add("over", &over, "NAME LIST",
        "varied as well, every value with every other: ep, tasks-per-node, threads, batch-tokens, dtype; "
        "--over ep 1,2 dtype f32,bf16");
  o.add("routing", &routing, "RUN", "a scoring run whose experts' loads are taken (without: all experts alike)");
  o.add("deadline", &deadline, "TIME", "that the fastest and the cheapest layout must keep, as sbatch writes it");
  o.add("workload", &workload, "FILE", "a year's work and prices, for a table of costs (docs/planning.md)");
  o.add("csv", &csv, "FILE", "the table, and that of costs behind it");
  o.add("report", &report, "FILE", "a page for people (HTML)");
  o.add("json", &json, "", "as JSON in place of the table");
}

std::string plan_of_job(Runtime& runtime, const std::string& job, std::span<const std::string> words) {
  if (job == "score") return table_text(PlanCommand<ScoreOptions>(runtime, job, words).make());
  if (job == "train") return table_text(PlanCommand<TrainOptions>(runtime, job, words).make());
  return {};
}

int run_plan(Runtime& runtime, std::span<const std::string> args) {
  const std::string job = args.empty() ? "" : args.front();
  if (job == "score") return PlanCommand<ScoreOptions>(runtime, job, args.subspan(1)).run();
  if (job == "train") return PlanCommand<TrainOptions>(runtime, job, args.subspan(1)).run();
  const bool asks = job == "--help" || job == "-h";
  if (!asks) fail(ExitCode::usage, "plan: expected score or train first, found \"{}\"", job);
  PlanOptions options;
  OptionSet set;
  options.describe(set);
  parse_job_options(runtime, set, "plan score|train", args);
  return 0;
}

}  // namespace switchyard
