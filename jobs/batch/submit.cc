// `switchyard submit JOB [options] -- [sbatch options]`: a batch script in the run directory, given to sbatch.
#include "jobs/batch/submit.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <regex>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "io/file.h"
#include "io/json.h"
#include "jobs/batch/array_indices.h"
#include "jobs/batch/batch_script.h"
#include "jobs/batch/sbatch_options.h"
#include "jobs/batch/slurm_client.h"
#include "jobs/batch/submissions.h"
#include "jobs/job.h"
#include "jobs/limits.h"

namespace switchyard {
namespace {

/// What the command line says, taken apart.
struct Submission {
  SubmitOptions options;
  std::string job, run;
  std::vector<std::string> arguments;  ///< of the job, all values resolved
  std::vector<std::string> files;      ///< that the job reads; one may be relative to where the job starts
  SbatchOptions sbatch_options;        ///< after "--"
  std::vector<int64_t> indices;        ///< of an array; there may be millions

  bool is_array() const { return !options.array.empty(); }
  size_t num_runs() const { return is_array() ? indices.size() : 1; }
  /// A path of the job's as its i-th run has it.
  std::string path_of(const std::string& path, size_t i) const;
  /// The first has the script.
  RunDirectory run_directory(size_t i) const { return RunDirectory(path_of(run, i)); }
};

std::string Submission::path_of(const std::string& path, size_t i) const {
  constexpr std::string_view kIndex = "%a";
  if (!is_array()) return path;
  std::string text = path;
  for (size_t at = text.find(kIndex); at != std::string::npos; at = text.find(kIndex))
    text.replace(at, kIndex.size(), std::to_string(indices[i]));
  return text;
}

const JobEntry& find_batch_job(const std::string& name) {
  for (const JobEntry& job : jobs()) {
    if (job.name != name) continue;
    OptionSet set;
    job.describe(set);
    const bool has_run = std::ranges::any_of(set.options(), [](const auto& option) { return option.name == "run"; });
    if (job.ranks == Ranks::any && has_run && set.positional_name() != "run") return job;
    fail(ExitCode::usage, "submit: {} has no run directory to resume from: put it into a script of your own", name);
  }
  fail(ExitCode::usage, "submit: \"{}\" is no job (see switchyard --help)", name);
}

/// Returns false when help was asked for.
bool parse(std::span<const std::string> args, Submission& s) {
  const auto separator = std::ranges::find(args, "--");
  const std::span<const std::string> own(args.begin(), separator);
  OptionSet set;
  s.options.describe(set);
  const bool help = own.empty() || own.front() == "--help";
  if (help || own.front().starts_with("-")) {
    const std::vector<std::string> ask = {"--help"};
    if (help && !own.empty()) return parse_job_options(set, "submit JOB [options of JOB] -- [options of sbatch]", ask);
    fail(ExitCode::usage, "submit: expected the name of a job first (see switchyard submit --help)");
  }
  s.job = own.front();
  const std::set<std::string> known = [&] {
    std::set<std::string> names;
    for (const auto& option : set.options()) names.insert(option.name);
    return names;
  }();
  // One command line for both: the options of submit and those of the job.
  OptionSet of_job;
  find_batch_job(s.job).describe(of_job);
  for (const auto& option : of_job.options()) {
    if (known.contains(option.name)) continue;
    set.group(option.group);
    set.add(option.name, option.target, option.meta, option.help);
  }
  for (const std::string& name : of_job.required()) set.require(name);
  if (!parse_job_options(set, "submit " + s.job, own.subspan(1))) return false;

  for (const auto& option : of_job.options()) {
    if (known.contains(option.name) || !set.is_given(option.name)) continue;
    if (option.name == "run") {
      s.run = absolute_path(option_text(option), ExitCode::output);  // as settle gets it, wherever the job starts
      s.arguments.insert(s.arguments.end(), {"--run", s.run});
      continue;
    }
    if (option.name == "model") s.files.push_back(option_text(option) + "/config.json");
    if (option.name == "input") s.files.push_back(option_text(option));
    for (const std::string& word : option_words(option)) s.arguments.push_back(word);
  }
  if (separator != args.end()) s.sbatch_options = SbatchOptions({separator + 1, args.end()});
  return true;
}

/// Of a time limit as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. Empty for anything else.
std::optional<int64_t> limit_seconds(const std::string& text) {
  std::smatch m;
  static const std::regex kDays("([0-9]{1,6})-([0-9]{1,6})(?::([0-9]{1,6})(?::([0-9]{1,6}))?)?");
  static const std::regex kTime("(?:([0-9]{1,6}):)?([0-9]{1,6})(?::([0-9]{1,6}))?");
  const auto number = [&](size_t i) { return m[i].matched ? int64_t{std::stol(m[i])} : int64_t{0}; };
  if (std::regex_match(text, m, kDays)) return ((number(1) * 24 + number(2)) * 60 + number(3)) * 60 + number(4);
  if (!std::regex_match(text, m, kTime)) return std::nullopt;
  if (m[1].matched && !m[3].matched) return number(1) * 60 + number(2);  // M:S, not H:M
  return (number(1) * 60 + number(2)) * 60 + number(3);
}

void check_time(const SubmitOptions& o) {
  const std::optional<int64_t> limit = limit_seconds(o.time);
  if (limit && *limit > 0 && *limit <= o.signal_seconds)  // 0: no limit
    fail(ExitCode::usage,
         "submit: --time {} is no longer than --signal-seconds {}: the job would be told to stop when it starts",
         o.time, o.signal_seconds);
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

void check_array(const Submission& s) {
  if (s.run.find("%a") == std::string::npos)
    fail(ExitCode::usage,
         "submit: --array: the tasks would share run directory {}: put %a, the task's index, into --run", s.run);
  if (s.options.chain > 0) fail(ExitCode::usage, "submit: --array and --chain exclude each other");
}

/// A job that waits for another may find files that are not there yet. Of very many points the first and the last are
/// looked at.
void check_files(const Submission& s) {
  constexpr size_t kMostChecked = 1000;
  if (s.sbatch_options.has(kDependency)) return;
  const std::filesystem::path directory =
      std::filesystem::path(absolute_path(".", ExitCode::environment)) / s.sbatch_options.value_of(kChdir).value_or("");
  const size_t last = s.num_runs() - 1, step = s.num_runs() > kMostChecked ? std::max<size_t>(last, 1) : 1;
  for (const std::string& file : s.files) {
    const bool is_shared = s.path_of(file, 0) == file;
    for (size_t i = 0; i <= (is_shared ? 0 : last); i += step) InputFile(directory / s.path_of(file, i));
  }
}

/// Also finds out which points an array has.
void check(Submission& s) {
  check_time(s.options);
  check_texts(s);
  if (s.is_array()) {
    // Another cluster's limit is not asked for.
    const bool elsewhere = s.sbatch_options.has(kClusters);
    s.indices = array_indices(s.options.array, elsewhere ? kLargestArraySize : max_array_size());
    check_array(s);
  }
  check_files(s);
}

std::string own_path() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail(ExitCode::environment, "cannot read /proc/self/exe: {}", error.message());
  return path.native();
}

/// Which of PATH's folders has a program; empty: none.
std::string directory_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (folder.starts_with('/') && ::access((folder + "/" + program).c_str(), X_OK) == 0) return folder;
  return {};
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

BatchScript make_script(const Submission& s, const RunDirectory& first) {
  const SubmitOptions& o = s.options;
  BatchScript script;
  script.program = own_path();
  script.job = s.job;
  script.arguments = s.arguments;
  script.run = s.run;
  // Slurm's patterns: %j a job, %A and %a an array's task, %% a percent sign.
  const std::string attempts = std::regex_replace(first.attempts_path().native(), std::regex("%"), "%%");
  script.log = attempts + (s.is_array() ? "/%A_%a.log" : "/%j.log");
  script.directory = absolute_path(".", ExitCode::environment);
  script.name =
      o.name.empty() ? fmt::format("{}-{}", s.job, std::filesystem::path(script.run).filename().native()) : o.name;
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
  script.slurm_path = directory_in_path("sbatch");
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

bool has_ended(const std::string& job) {
  const std::vector<SlurmJob> tasks = find_jobs(job);
  return std::ranges::all_of(tasks, [](const SlurmJob& task) { return task.has_ended(); });
}

/// Waits until Slurm is done with the last job; the exit code of the first run that is not complete.
int wait_for(const std::string& last, const Submission& s) {
  constexpr int kTimes = 5;  // an answer may fail now and then, and an empty one looks like the end
  for (int ended = 0; ended < kTimes; ended = has_ended(last) ? ended + 1 : 0)
    std::this_thread::sleep_for(std::chrono::seconds(1));
  int code = static_cast<int>(ExitCode::complete);
  for (size_t i = 0; i < s.num_runs(); ++i) {
    const RunDirectory run = s.run_directory(i);
    const std::optional<RunState> state = run.find_state();
    if (!state) fail(ExitCode::environment, "job {} ended and left no state in {}", last, run.root().native());
    const bool over = state->status == RunStatus::complete || state->status == RunStatus::failed;
    log::info("{} is {}{}", run.root().native(), name_of(state->status),
              state->message.empty() ? "" : ": " + state->message);
    if (code == 0) code = over ? state->exit_code : static_cast<int>(ExitCode::interrupted);
  }
  return code;
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
  o.add("wait", &wait, "", "wait for the end; the run's exit code");
  o.add("dry-run", &dry_run, "", "print the script and touch nothing");
}

int run_submit(Runtime&, std::span<const std::string> args) {
  Submission s;
  if (!parse(args, s)) return 0;
  check(s);
  const RunDirectory first = s.run_directory(0);
  const std::string text = render(make_script(s, first));
  const Environment environment = sbatch_environment(chosen_options(s));
  if (s.options.dry_run) {
    std::cout << text;
    return 0;
  }
  for (size_t i = 0; i < s.num_runs(); ++i) s.run_directory(i).create();
  const std::filesystem::path path = first.root() / "batch.sh";
  write_file_atomically(path, text);
  ::chmod(path.c_str(), 0755);

  std::vector<std::string> ids;
  const auto queue = [&](const std::vector<std::string>& arguments) {
    ids.push_back(sbatch(arguments, environment));
    std::cout << ids.back() << std::endl;
    record(s, ids);  // each at once: the next may be refused
  };
  queue({path.native()});
  for (int64_t i = 0; i < s.options.chain; ++i)
    queue({"--dependency=afternotok:" + ids.back(), "--kill-on-invalid-dep=yes", path.native(), ids.back()});
  log::info("submitted: switchyard status {} tells how it stands", first.root().native());
  return s.options.wait ? wait_for(ids.back(), s) : 0;
}

}  // namespace switchyard
