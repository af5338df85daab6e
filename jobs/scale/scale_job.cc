// `switchyard scale score|train --mode strong|weak --nodes LIST | --local --ranks LIST … -- SBATCH OPTIONS`.
#include "jobs/scale/scale_job.h"

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "io/file.h"
#include "jobs/options/limits.h"
#include "jobs/options/lists.h"
#include "jobs/scale/slurm_scale.h"

namespace switchyard {
namespace {

/// Those of a job that are the study's own, or mean nothing in one.
constexpr std::array<std::string_view, 5> kOwn = {"run", "dry-run", "quiet", "nodes", "config"};

/// "1,2,4": ascending, each once.
std::vector<int64_t> sizes_of(std::string_view option, const std::string& list) {
  std::vector<int64_t> sizes;
  for (const std::string& word : items_of(list))
    sizes.push_back(count_of(fmt::format("scale --{} {}", option, list), word, kMaxRanks));
  std::ranges::sort(sizes);
  if (std::ranges::adjacent_find(sizes) != sizes.end())
    fail(ExitCode::usage, "scale --{} {}: a number comes again (--reps repeats)", option, list);
  return sizes;
}

/// Its jobs, which have one name, follow each other.
Submission one_at_a_time(Submission request) {
  const std::string own = request.sbatch_options.value_of(kDependency).value_or("");
  request.sbatch_options.add(own.empty() ? "--dependency=singleton" : fmt::format("--dependency={},singleton", own));
  return request;
}

/// What is left of the command line behind the job's name, read as the study's options and the job's.
class CommandLine {
 public:
  CommandLine(const Runtime& runtime, std::span<const std::string> args) {
    const auto separator = std::ranges::find(args, "--");
    own_ = {args.begin(), separator};
    if (separator != args.end()) request.sbatch_options = SbatchOptions({separator + 1, args.end()});
    options.describe(set_);
    const bool asks = own_.empty() || own_.front() == "--help" || own_.front() == "-h";
    if (asks || own_.front().starts_with("-")) {
      const std::vector<std::string> ask = {"--help"};
      if (!asks || own_.empty())
        fail(ExitCode::usage, "scale: expected score or train first (see switchyard scale --help)");
      parse_job_options(runtime, set_, "scale score|train [options of it] -- [options of sbatch]", ask);
      return;
    }
    if (own_.front() != "score" && own_.front() != "train")
      fail(ExitCode::usage, "scale: expected score or train, found \"{}\"", own_.front());
    definition.job = own_.front();
    read(runtime);
  }

  bool asked_for_help() const { return !is_read_; }
  std::string config() const { return resolved_config(set_); }

  ScaleOptions options;
  ScaleDefinition definition;
  Submission request;

 private:
  void read(const Runtime& runtime) {
    const JobEntry& entry = *std::ranges::find(runtime.jobs, definition.job, &JobEntry::name);
    std::set<std::string> own(kOwn.begin(), kOwn.end());
    for (const auto& option : set_.options()) own.insert(option.name);
    OptionSet of_job;
    entry.describe(of_job);
    set_.take(of_job, own);
    for (const std::string& name : of_job.required())
      if (name != "run") set_.require(name);
    if (!parse_job_options(runtime, set_, fmt::format("scale {}", definition.job), std::span(own_).subspan(1))) return;
    is_read_ = true;
    for (const auto& option : of_job.options())
      if (!own.contains(option.name) && set_.is_given(option.name))
        definition.options[option.name] = option_values(option);
    define();
    request.options = options.submit;
    if (request.options.name.empty())
      request.options.name = fmt::format("scale-{}", std::filesystem::path(options.run).filename().native());
  }

  void define() {
    ScaleDefinition& d = definition;
    d.scaling = options.mode == "weak" ? Scaling::weak : Scaling::strong;
    d.local = options.local;
    d.repetitions = options.reps;
    if (d.local != options.nodes.empty() || d.local == options.ranks.empty())
      fail(ExitCode::usage, "scale: expected --nodes LIST, or --local --ranks LIST");
    d.sizes = d.local ? sizes_of("ranks", options.ranks) : sizes_of("nodes", options.nodes);
    d.tasks_per_node = std::max<int64_t>(1, options.submit.tasks_per_node);
    if (options.over.empty()) return;
    if (options.over.size() != 2)
      fail(ExitCode::usage, "scale --over: expected a name and a list, as in --over ep 1,2; found {} words",
           options.over.size());
    d.over = options.over.front();
    d.values = items_of(options.over.back());
    if (std::ranges::find(kVariedOptions, d.over) == std::end(kVariedOptions))
      fail(ExitCode::usage, "scale --over {}: expected one of {}", d.over, fmt::join(kVariedOptions, ", "));
    if (d.options.contains(d.over)) fail(ExitCode::usage, "scale --over {}: --{} is given as well", d.over, d.over);
    if (d.over == "tasks-per-node") {
      if (d.local) fail(ExitCode::usage, "scale --over tasks-per-node: a local study has --ranks alone");
      sizes_of("over tasks-per-node", options.over.back());
    }
    for (const std::string& value : d.values)
      if (value.empty()) fail(ExitCode::usage, "scale --over {} {}: a value is empty", d.over, options.over.back());
  }

  std::vector<std::string> own_;
  OptionSet set_;
  bool is_read_ = false;
};

}  // namespace

void ScaleOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("mode", &mode, "strong|weak",
        "the same work at every size, or the same a rank (--sample-tokens, --step-records)");
  o.add("nodes", &nodes, "LIST", "sizes, through Slurm: 1,2,4");
  o.add("local", &local, "", "here, by mpirun");
  o.add("ranks", &ranks, "LIST", "sizes of a local study: 1,2");
  o.add("over", &over, "NAME LIST",
        "varied as well: ep, tasks-per-node, threads, batch-tokens or dtype, and its values: ep 1,2");
  o.add("reps", within(&reps, 1, 10000), "R", "measurements of each");
  o.add("max-node-hours", within(&max_node_hours, 0, 1e12), "X", "refuse what may take more, by --time (0: any)");
  RunOptions::describe_directory(o);
  OptionSet of_submit;
  submit.describe_job(of_submit);
  o.take(of_submit, {"nodes"});  // of a job; the study has its own
  RunOptions::describe(o);
}

int run_scale(Runtime& runtime, std::span<const std::string> args) {
  CommandLine line(runtime, args);
  if (line.asked_for_help()) return 0;
  log::set_quiet(line.options.quiet);
  const ScaleStudy study(line.options, line.definition, runtime.jobs);
  study.check(line.request);
  if (!study.definition().local)
    return submit_scale(study, one_at_a_time(std::move(line.request)), line.options.max_node_hours);
  if (line.options.dry_run) {
    for (int64_t number = 0; number < study.num_points(); ++number)
      std::cout << fmt::format("point {}: {}\n", number, study.name_of(number));
    return 0;
  }
  return run_locally(runtime, study, line.config());
}

}  // namespace switchyard
