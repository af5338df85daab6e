// `switchyard submit JOB [options] -- [sbatch options]`: a batch script in the run directory, given to sbatch.
#include "jobs/slurm/submit.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"
#include "jobs/plan/plan_job.h"
#include "jobs/slurm/earlier_runs.h"
#include "jobs/slurm/queue.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submission.h"
#include "jobs/slurm/submit_checks.h"
#include "jobs/slurm/submit_report.h"
#include "jobs/slurm/submit_wait.h"

namespace switchyard {
namespace {

const JobEntry& find_batch_job(const Runtime& runtime, const std::string& name) {
  for (const JobEntry& job : runtime.jobs) {
    if (job.name != name) continue;
    if (job.batch != nullptr) return job;
    fail(ExitCode::usage, "submit: {} has no run directory to resume from: put it into a script of your own", name);
  }
  fail(ExitCode::usage, "submit: \"{}\" is no job (see switchyard --help)", name);
}

/// Returns false when help was asked for.
bool parse(const Runtime& runtime, std::span<const std::string> args, Submission& s) {
  const auto separator = std::ranges::find(args, "--");
  const std::span<const std::string> own(args.begin(), separator);
  OptionSet set;
  s.options.describe(set);
  const bool help = own.empty() || own.front() == "--help" || own.front() == "-h";
  if (help || own.front().starts_with("-")) {
    const std::vector<std::string> ask = {"--help"};
    if (help && !own.empty())
      return parse_job_options(runtime, set, "submit JOB [options of JOB] -- [options of sbatch]", ask);
    fail(ExitCode::usage, "submit: expected the name of a job first (see switchyard submit --help)");
  }
  s.entry = &find_batch_job(runtime, own.front());
  const std::set<std::string> known = [&] {
    std::set<std::string> names;
    for (const auto& option : set.options()) names.insert(option.name);
    return names;
  }();
  // One command line for both: the options of submit and those of the job.
  OptionSet of_job;
  s.entry->describe(of_job);
  for (const auto& option : of_job.options()) {
    if (known.contains(option.name)) continue;
    set.group(option.group);
    set.add(option.name, option.target, option.meta, option.help);
  }
  for (const std::string& name : of_job.required()) set.require(name);
  if (!parse_job_options(runtime, set, fmt::format("submit {}", s.entry->name), own.subspan(1))) return false;

  for (const auto& option : of_job.options()) {
    if (known.contains(option.name) || !set.is_given(option.name)) continue;
    s.values[option.name] = option_values(option);
    if (option.name == "run") {
      s.run = absolute_path(option_text(option), ExitCode::output);  // as settle gets it, wherever the job starts
      s.arguments.insert(s.arguments.end(), {"--run", s.run});
      continue;
    }
    for (const std::string& word : option_words(option)) s.arguments.push_back(word);
  }
  if (separator != args.end()) s.sbatch_options = SbatchOptions({separator + 1, args.end()});
  return true;
}

/// The jobs to queue behind.
std::vector<std::string> holders_of(const Submission& s) {
  if (s.options.no_dependency) return {};
  const std::vector<std::string> holders = jobs_at_work(s);
  if (holders.empty()) return {};
  const std::string own = s.sbatch_options.value_of(kDependency).value_or("");
  const std::string held = fmt::format("the run is in the hands of job {}", fmt::join(holders, ", "));
  if (own.find('?') != std::string::npos) {  // any of them suffices: there is no way to add one that must be
    log::warning("{}, but --dependency {} leaves no room for it: the new job may end with 78", held, own);
    return {};
  }
  log::info("{}: queued behind it (--no-dependency: beside it)", held);
  return holders;
}

/// On stderr, where the job has a profile, and it is known how many nodes and ranks it will have.
void tell_plan(Runtime& runtime, const Submission& s) {
  const JobShape shape = shape_of(s);
  if (s.is_array() || !s.values.contains("profile") || !shape.nodes || !shape.ranks) return;
  std::vector<std::string> words = s.arguments;
  std::erase_if(words, [](const std::string& word) { return word.starts_with("--quiet"); });
  words.insert(words.end(), {"--nodes", std::to_string(*shape.nodes), "--tasks-per-node",
                             std::to_string(std::max<int64_t>(1, *shape.ranks / *shape.nodes))});
  if (shape.cores_per_rank && !s.values.contains("threads"))
    words.insert(words.end(), {"--threads", std::to_string(*shape.cores_per_rank)});
  std::cerr << plan_of_job(runtime, std::string(s.entry->name), words);
}

}  // namespace

void SubmitOptions::describe_job(OptionSet& o) {
  o.group("The job, as sbatch knows it (more after --)");
  o.add("name", &name, "NAME", "what Slurm calls it (JOB and the run directory's name unless given)");
  o.add("partition", &partition, "NAME", "partition");
  o.add("account", &account, "NAME", "account");
  o.add("qos", &qos, "NAME", "quality of service");
  o.add("time", &time, "LIMIT", "time limit, as sbatch takes it (01:30:00)");
  o.add("nodes", within(&nodes, 0, kMaxRanks), "N", "nodes");
  o.add("tasks-per-node", within(&tasks_per_node, 0, kMaxRanks), "N", "ranks per node");
  o.add("cpus-per-task", within(&cpus_per_task, 0, kMaxThreads), "N", "cores per rank");
  o.add("gpus-per-node", within(&gpus_per_node, 0, kMaxThreads), "N", "GPUs per node");
  o.add("memory", &memory, "SIZE", "memory per node");

  o.group("This site (set once, in the site file)");
  o.add("site", &site, "FILE", "defaults of these options (~/.config/switchyard/site.cfg, /etc/switchyard/site.cfg)");
  o.add("module", &module, "NAME ...", "modules to load");
  o.add("setup", &setup, "LINE ...", "shell lines to run before srun");
  o.add("mpi", &mpi, "TYPE", "srun's --mpi");
  o.add("srun-flags", &srun_flags, "FLAGS", "more options of srun");
  o.add("signal-seconds", within(&signal_seconds, 1, 65535), "S", "how long before the time limit the ranks are told");
  std::vector<std::string> files = {"/etc/switchyard/site.cfg"};
  if (const char* home = std::getenv("HOME"))
    files.insert(files.begin(), std::string(home) + "/.config/switchyard/site.cfg");
  o.defaults_from("site", files);
}

void SubmitOptions::describe(OptionSet& o) {
  describe_job(o);
  o.group("How");
  o.add("chain", within(&chain, 0, 1000), "N", "N successors that resume it, where requeueing is not allowed");
  o.add("array", &array, "INDICES", "independent points: %a in the job's options is the index");
  o.add("no-dependency", &no_dependency, "",
        "do not queue behind a job that has the run; the later one may end with 78");
  o.add("wait", &wait, "", "wait for the end of what is submitted, and end with its exit code");
  o.add("dry-run", &dry_run, "", "print the script and touch nothing");
}

int run_submit(Runtime& runtime, std::span<const std::string> args) {
  Submission s;
  if (!parse(runtime, args, s)) return 0;
  check(s);
  check_earlier_runs(s);
  const Environment environment = sbatch_environment(s.chosen_options());
  if (s.options.dry_run) {
    std::cout << render(make_script(s, "")) << std::flush;
    tell_plan(runtime, s);
    return 0;
  }
  const std::vector<std::string> holders = holders_of(s);
  report_request(s, holders.empty());
  const std::vector<std::string> ids = queue_jobs(s, environment, holders);
  report_jobs(s, ids);
  return s.options.wait ? wait_for(ids, s) : 0;
}

}  // namespace switchyard
