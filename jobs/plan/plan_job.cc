// `switchyard plan score|train JOB OPTIONS --profile FILE [--nodes LIST] …`: what it would take, and on how many nodes.
#include "jobs/plan/plan_job.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <optional>

#include "base/cpu_model.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/limits.h"
#include "jobs/plan/plan_report.h"
#include "jobs/plan/planned_machine.h"
#include "jobs/plan/workload.h"
#include "jobs/slurm/time_limit.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

/// Options of a job that mean nothing to a plan.
constexpr std::string_view kNotPlanned[] = {"dry-run", "quiet", "profile"};
constexpr std::string_view kOver[] = {"ep", "tasks-per-node", "threads", "batch-tokens", "dtype"};

int64_t number_of(const std::string& option, const std::string& word, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 1 || value > most)
    fail(ExitCode::usage, "plan --{}: expected numbers from 1 to {}, found \"{}\"", option, most, word);
  return value;
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// What is varied beside the nodes, in the job's options.
template <class Options>
void vary(Options& job, int64_t& tasks_per_node, const std::string& name, const std::string& value) {
  if (name == "dtype") {
    job.dtype = value;
    if (value != "auto") operand_of(value);
    return;
  }
  const int64_t number = number_of("over " + name, value, kMaxRanks);
  if (name == "ep") job.ep = number;
  if (name == "threads") job.threads = number;
  if (name == "batch-tokens") job.batch_tokens = number;
  if (name == "tasks-per-node") tasks_per_node = number;
}

/// Of what a plan is made, once for all layouts.
template <class Options>
struct Subject;

template <>
struct Subject<ScoreOptions> {
  Subject(Runtime& runtime, const ScoreOptions& options, const Profile& of_machine, const std::string& routing)
      : config(read_model_config(options.model, options.allowed_fields())),
        profile(of_machine),
        model_bytes(stored_bytes(options.model)) {
    if (!routing.empty()) share = measured_routing(routing, config);
    const std::vector<SourceFile> sources = options.text_sources();
    if (sources.empty()) {
      input.emplace(options.input.front());
      size = size_of(runtime.world, *input, config.max_positions);
      lengths = lengths_of(*input, config.max_positions);
      return;
    }
    const TextInput text(
        options, TextReader{"--input " + sources.front().path, options.model, options.batch_tokens, options.threads},
        config);
    size = text.measure(sources);
    lengths = even_lengths(size);
    note = "records of text count as equally long until they are imported";
  }

  Prediction predict(const ScoreOptions& options, const MachineShare& machine) const {
    const ScorePlan plan = plan_score(options, config, size, machine, RunDirectory(options.run));
    Prediction p =
        predict_scoring(plan, lengths, profile, share, std::max<int64_t>(1, options.term_grace / 4), model_bytes);
    if (!note.empty()) p.notes.push_back(note);
    return p;
  }

  const ModelConfig config;
  const Profile& profile;
  uint64_t model_bytes;
  std::vector<double> share;
  std::optional<ScoringInput> input;
  InputSize size;
  RecordLengths lengths;
  std::string note;
};

template <>
struct Subject<TrainOptions> {
  Subject(Runtime& runtime, const TrainOptions& options, const Profile& of_machine, const std::string& routing)
      : config(read_model_config(options.config_path(), options.allowed_fields())),
        profile(of_machine),
        model_bytes(options.init.empty() ? stored_bytes(options.model) : 0),
        chosen(options, config),
        files(runtime.world, options.sources(), config) {
    if (!routing.empty())
      fail(ExitCode::usage, "plan train --routing {}: training is planned with all experts alike", routing);
    for (const DataFile& file : files.train()) records.push_back(records_of(file));
    for (const DataFile& file : files.eval())
      for (const PlannedRecord& record : records_of(file)) held_out.push_back(record);
  }

  Prediction predict(const TrainOptions& options, const MachineShare& machine) const {
    std::vector<int64_t> sizes;
    DataSummary summary;
    for (const auto& dataset : records) sizes.push_back(std::ssize(dataset));
    PlannedData data{DataOrder(options.order(sizes)), records};
    int64_t all = 0, count = 0;
    for (const auto& dataset : records)
      for (const PlannedRecord& record : dataset) {
        all += record.length;
        ++count;
      }
    for (const PlannedRecord& record : held_out) {
      data.held_out_tokens += record.length;
      summary.longest_held_out = std::max(summary.longest_held_out, record.length);
    }
    summary.sizes = sizes;
    summary.mean_step_tokens = all / std::max<int64_t>(1, count) * options.step_records;
    summary.largest_step = [&data](int64_t steps, int64_t slices, int ranks) {
      return largest_step([&data](const RecordPlace& place) { return data.tokens(place); }, data.order, steps, slices,
                          ranks);
    };
    const TrainPlan plan =
        plan_training(options, config, summary, machine, RunDirectory(options.run), chosen.trained_share());
    return predict_training(options, plan, config, data, profile, model_bytes);
  }

  /// Of text, as long as it is on average.
  std::vector<PlannedRecord> records_of(const DataFile& file) const {
    std::vector<PlannedRecord> records_of_file;
    const auto keep = [&](const std::vector<PlannedRecord>& some) {
      for (const PlannedRecord& record : some)
        if (record.length > 1 && record.scored > 0) records_of_file.push_back({record.length - 1, record.scored});
    };
    if (file.format) {
      const InputSize size = files.measure({file}).front();
      keep(even_lengths(size)(0, size.records));
    } else {
      const ScoringInput input(file.path);
      constexpr int64_t kAtOnce = 1 << 16;
      for (int64_t first = 0; first < input.num_records(); first += kAtOnce)
        keep(lengths_of(input, config.max_positions)(first, std::min(kAtOnce, input.num_records() - first)));
    }
    if (records_of_file.empty()) fail(ExitCode::input, "{}: no record has tokens to learn", file.path);
    return records_of_file;
  }

  const ModelConfig config;
  const Profile& profile;
  uint64_t model_bytes;
  ChosenParameters chosen;
  DataFiles files;
  std::vector<std::vector<PlannedRecord>> records;
  std::vector<PlannedRecord> held_out;
};

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
    if constexpr (std::is_same_v<Options, TrainOptions>) options_.resolve(set_);
    set_cpu_isa(options_.cpu_isa);
    const Profile profile = read_profile(plan_.profile);
    PlanTable table{job_, plan_.profile, profile.machine, {}};
    if (const std::string other = difference(profile.machine); !other.empty()) table.notes.push_back(other);
    const Subject<Options> subject(runtime_, options_, profile, plan_.routing);
    if (subject.model_bytes == 0) table.notes.push_back("the stored model is not there: its reading is not planned");
    std::optional<Error> refused;
    for (const std::string& nodes : words_of(plan_.nodes))
      for (const std::string& value : plan_.over.empty() ? std::vector<std::string>{""} : words_of(plan_.over.back())) {
        PlanTable::Row row{number_of("nodes", nodes, kMaxRanks), value};
        try {
          row.prediction = predict(subject, profile, row);
        } catch (const Error& error) {
          if (error.code() != ExitCode::usage && error.code() != ExitCode::environment) throw;
          row.refusal = error.what();
          refused.emplace(error);
        }
        table.rows.push_back(std::move(row));
      }
    table.over = plan_.over.empty() ? "" : plan_.over.front();
    if (refused && std::ranges::none_of(table.rows, &PlanTable::Row::is_possible)) throw Error(*refused);
    if (!plan_.deadline.empty()) table.deadline = deadline();
    if (!plan_.workload.empty()) {
      const bool training = job_ == "train";
      table.workload = read_workload(plan_.workload, training);
      table.costs = costs_of_year(*table.workload, table.cheapest()->prediction.value(), training);
    }
    std::cout << (plan_.json ? to_text(to_json(table), 1) + '\n' : table_text(table));
    if (!plan_.csv.empty()) write_file_atomically(plan_.csv, plan_csv(table));
    if (!plan_.report.empty()) write_file_atomically(plan_.report, plan_page(table));
    return 0;
  }

 private:
  Prediction predict(const Subject<Options>& subject, const Profile& profile, const PlanTable::Row& row) const {
    Options job = options_;
    int64_t tasks = plan_.tasks_per_node > 0 ? plan_.tasks_per_node : profile.layouts.back().ranks_on_host;
    if (!plan_.over.empty()) vary(job, tasks, plan_.over.front(), row.value);
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
  o.add("over", &over, "NAME LIST", "varied as well: ep, tasks-per-node, threads, batch-tokens or dtype: ep 1,2");
  o.add("routing", &routing, "RUN", "a scoring run whose experts' loads are taken (without: all experts alike)");
  o.add("deadline", &deadline, "TIME", "that the fastest and the cheapest layout must keep, as sbatch writes it");
  o.add("workload", &workload, "FILE", "a year's work and prices, for a table of costs (docs/planning.md)");
  o.add("csv", &csv, "FILE", "the table, and that of costs behind it");
  o.add("report", &report, "FILE", "a page for people (HTML)");
  o.add("json", &json, "", "as JSON in place of the table");
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
