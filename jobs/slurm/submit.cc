// `switchyard submit JOB [options] -- [sbatch options]`: a batch script in the run directory, given to sbatch.
#include "jobs/slurm/submit.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <regex>

#include "base/log.h"
#include "io/command.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/limits.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/earlier_runs.h"
#include "jobs/slurm/file_system.h"
#include "jobs/slurm/new_files.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submission.h"
#include "jobs/slurm/submissions.h"
#include "jobs/slurm/submit_checks.h"
#include "jobs/slurm/submit_report.h"
#include "jobs/slurm/submit_wait.h"
#include "run/lease.h"

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

std::string own_path() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail(ExitCode::environment, "cannot read /proc/self/exe: {}", error.message());
  return path.native();
}

/// What the command line, the site file or the words after "--" say of where the job runs.
std::set<std::string> chosen_options(const Submission& s) {
  std::set<std::string> chosen;
  for (const SbatchOption& option : {kAccount, kClusters, kConstraint, kPartition, kQos, kReservation})
    if (s.sbatch_options.has(option)) chosen.emplace(option.name);
  if (!s.options.account.empty()) chosen.emplace(kAccount.name);
  if (!s.options.partition.empty()) chosen.emplace(kPartition.name);
  if (!s.options.qos.empty()) chosen.emplace(kQos.name);
  return chosen;
}

BatchScript make_script(const Submission& s, const std::string& mark) {
  const SubmitOptions& o = s.options;
  BatchScript script;
  script.program = own_path();
  script.job = s.entry->name;
  script.arguments = s.arguments;
  script.run = s.run;
  script.mark = mark;
  const RunDirectory first = s.run_directory(0);
  const bool has_own_log = s.sbatch_options.has(kOutput) || s.sbatch_options.has(kError);
  script.is_local = !mark.empty() && !has_own_log && !local_disk_of(first.root()).empty();
  // Slurm's patterns: %j a job, %A and %a an array's task, %% a percent sign.
  const std::string attempts = std::regex_replace(first.attempts_path().native(), std::regex("%"), "%%");
  script.log = attempts + (s.is_array() ? "/%A_%a.log" : "/%j.log");
  script.directory = absolute_path(".", ExitCode::environment);
  script.name = o.name.empty()
                    ? fmt::format("{}-{}", s.entry->name, std::filesystem::path(script.run).filename().native())
                    : o.name;
  script.array = o.array;
  const auto add = [&](std::string_view option, const std::string& value) {
    if (!value.empty()) script.sbatch_options.push_back(fmt::format("--{}={}", option, sbatch_word(value)));
  };
  const auto add_count = [&](std::string_view option, int64_t value) {
    if (value > 0) add(option, std::to_string(value));
  };
  add("partition", o.partition);
  add("account", o.account);
  add("qos", o.qos);
  add("time", o.time);
  add_count("nodes", o.nodes);
  add_count("ntasks-per-node", o.tasks_per_node);
  add_count("cpus-per-task", o.cpus_per_task);
  add_count("gpus-per-node", o.gpus_per_node);
  add("mem", o.memory);
  const std::vector<std::string> more = s.sbatch_options.lines();
  script.sbatch_options.insert(script.sbatch_options.end(), more.begin(), more.end());
  script.modules = o.module;
  script.setup = o.setup;
  script.slurm_path = folder_of_program("sbatch");
  script.mpi = o.mpi;
  script.srun_flags = o.srun_flags;
  script.signal_seconds = o.signal_seconds;
  script.chained = o.chain > 0;
  return script;
}

void record(const Submission& s, const std::vector<std::string>& ids) {
  if (!s.is_array()) return record_submission(s.run_directory(0), ids);
  for (size_t i = 0; i < s.num_runs(); ++i)
    record_submission(s.run_directory(i), {fmt::format("{}_{}", ids.front(), s.indices[i])});
}

/// Makes the run directories and queues their jobs, or nothing.
class Queue {
 public:
  Queue(const Submission& s, Environment environment) : s_(s), environment_(std::move(environment)) {}

  /// The jobs' ids: of a chain, or one.
  std::vector<std::string> submit(const std::vector<std::string>& holders) {
    const std::string mark = "submitted-" + LeaseHolder::self().nonce;
    script_ = s_.run_directory(0).root() / "batch.sh";
    NewFiles files;
    for (size_t i = 0; i < s_.num_runs(); ++i) {
      files.create(s_.run_directory(i), s_.entry->batch->unit_folder);
      files.write(s_.run_directory(i).attempts_path() / mark, "");
    }
    files.write(script_, render(make_script(s_, mark)));
    ::chmod(script_.c_str(), 0755);
    try {
      queue(first_arguments(holders));
    } catch (const SbatchRefusal&) {
      throw;
    } catch (const std::exception&) {
      files.keep();  // a job may be queued
      throw;
    }
    files.keep();
    for (int64_t i = 0; i < s_.options.chain; ++i)
      queue({"--dependency=afternotok:" + ids_.back(), "--kill-on-invalid-dep=yes", script_.native(), ids_.back()});
    return ids_;
  }

 private:
  void queue(const std::vector<std::string>& arguments) {
    ids_.push_back(sbatch(arguments, environment_));
    std::cout << ids_.back() << std::endl;
    record(s_, ids_);  // each at once: the next may be refused
  }

  /// Behind the holders as well as behind what the user named: the command line wins over the script.
  std::vector<std::string> first_arguments(const std::vector<std::string>& holders) const {
    if (holders.empty()) return {script_.native()};
    std::string dependency = fmt::format("--dependency=afterany:{}", fmt::join(holders, ":"));
    if (const auto own = s_.sbatch_options.value_of(kDependency)) dependency += "," + *own;
    return {dependency, script_.native()};
  }

  const Submission& s_;
  const Environment environment_;
  std::filesystem::path script_;
  std::vector<std::string> ids_;
};

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

}  // namespace

void SubmitOptions::describe(OptionSet& o) {
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
  const Environment environment = sbatch_environment(chosen_options(s));
  if (s.options.dry_run) {
    std::cout << render(make_script(s, ""));
    return 0;
  }
  const std::vector<std::string> holders = holders_of(s);
  report_request(s, holders.empty());
  const std::vector<std::string> ids = Queue(s, environment).submit(holders);
  report_jobs(s, ids);
  return s.options.wait ? wait_for(ids, s) : 0;
}

}  // namespace switchyard
