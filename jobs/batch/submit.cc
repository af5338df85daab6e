// `switchyard submit JOB [options] -- [sbatch options]`: a batch script in the run directory, given to sbatch.
#include "jobs/batch/submit.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <regex>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "io/file.h"
#include "jobs/batch/batch_script.h"
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
  std::vector<std::string> arguments;       ///< of the job, all values resolved
  std::vector<std::string> sbatch_options;  ///< after "--"
};

/// sbatch's options as lines: a word that is no option is the value of the one before it.
std::vector<std::string> as_lines(std::span<const std::string> words) {
  std::vector<std::string> lines;
  for (const std::string& word : words) {
    if (word.starts_with("-") || lines.empty()) {
      lines.push_back(shell_word(word));
    } else {
      lines.back() += " " + shell_word(word);
    }
  }
  return lines;
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
      s.run = absolute_path(option_text(option));  // as settle gets it, wherever the job starts
      s.arguments.insert(s.arguments.end(), {"--run", s.run});
    } else {
      for (const std::string& word : option_words(option)) s.arguments.push_back(word);
    }
  }
  if (separator != args.end()) s.sbatch_options = as_lines({separator + 1, args.end()});
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

void check(const Submission& s) {
  const SubmitOptions& o = s.options;
  if (const auto limit = limit_seconds(o.time); limit && *limit <= o.signal_seconds)
    fail(ExitCode::usage,
         "submit: --time {} is no longer than --signal-seconds {}: the job would be told to stop when it starts",
         o.time, o.signal_seconds);
  if (!o.array.empty() &&
      !std::regex_match(o.array, std::regex("[0-9]+(-[0-9]+(:[0-9]+)?)?(,[0-9]+(-[0-9]+(:[0-9]+)?)?)*(%[0-9]+)?")))
    fail(ExitCode::usage, "submit: --array: expected indices such as 0-9, 1,5,7 or 0-99%4, found {}", o.array);
  if (!o.array.empty() && s.run.find("%a") == std::string::npos)
    fail(ExitCode::usage,
         "submit: --array: the tasks would share run directory {}: put %a, the task's index, into --run", s.run);
  if (!o.array.empty() && o.chain > 0) fail(ExitCode::usage, "submit: --array and --chain exclude each other");
}

/// The indices of 0-9, 1,5,7 or 0-99:3%4.
std::vector<int64_t> array_indices(const std::string& array) {
  std::vector<int64_t> indices;
  std::istringstream parts(array.substr(0, array.find('%')));
  for (std::string part; std::getline(parts, part, ',');) {
    std::smatch m;
    std::regex_match(part, m, std::regex("([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?"));
    const int64_t first = std::stoll(m[1]), last = m[2].matched ? std::stoll(m[2]) : first;
    const int64_t step = m[3].matched ? std::max<int64_t>(1, std::stoll(m[3])) : 1;
    for (int64_t i = first; i <= last; i += step) indices.push_back(i);
  }
  return indices;
}

std::string point_path(std::string run, int64_t index) {
  for (size_t at = run.find("%a"); at != std::string::npos; at = run.find("%a"))
    run.replace(at, 2, std::to_string(index));
  return run;
}

/// Run directories, one per point. The first has the script.
std::vector<RunDirectory> run_directories(const Submission& s) {
  if (s.options.array.empty()) return {RunDirectory(absolute_path(s.run))};
  std::vector<RunDirectory> runs;
  for (const int64_t index : array_indices(s.options.array)) runs.emplace_back(absolute_path(point_path(s.run, index)));
  return runs;
}

BatchScript make_script(const Submission& s, const RunDirectory& first) {
  const SubmitOptions& o = s.options;
  BatchScript script;
  script.program = std::filesystem::read_symlink("/proc/self/exe").native();
  script.job = s.job;
  script.arguments = s.arguments;
  script.run = absolute_path(s.run);
  // Slurm's patterns: %j a job, %A and %a an array's task, %% a percent sign.
  const std::string attempts = std::regex_replace(first.attempts_path().native(), std::regex("%"), "%%");
  script.log = attempts + (s.options.array.empty() ? "/%j.log" : "/%A_%a.log");
  script.directory = std::filesystem::current_path().native();
  script.name =
      o.name.empty() ? fmt::format("{}-{}", s.job, std::filesystem::path(script.run).filename().native()) : o.name;
  script.array = o.array;
  const auto add = [&](std::string_view option, const std::string& value) {
    if (!value.empty()) script.sbatch_options.push_back(fmt::format("--{}={}", option, shell_word(value)));
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
  script.sbatch_options.insert(script.sbatch_options.end(), s.sbatch_options.begin(), s.sbatch_options.end());
  script.modules = o.module;
  script.setup = o.setup;
  script.mpi = o.mpi;
  script.srun_flags = o.srun_flags;
  script.signal_seconds = o.signal_seconds;
  script.chained = o.chain > 0;
  return script;
}

void record(const Submission& s, const std::vector<RunDirectory>& runs, const std::vector<std::string>& ids) {
  if (s.options.array.empty()) return record_submission(runs.front(), ids);
  const std::vector<int64_t> indices = array_indices(s.options.array);
  for (size_t i = 0; i < runs.size(); ++i) record_submission(runs[i], {fmt::format("{}_{}", ids.front(), indices[i])});
}

bool has_ended(const std::string& job) {
  const std::vector<SlurmJob> tasks = find_jobs(job);
  return std::ranges::all_of(tasks, [](const SlurmJob& task) { return task.has_ended(); });
}

/// Waits until Slurm is done with the last job; the exit code of the first run that is not complete.
int wait_for(const std::string& last, const std::vector<RunDirectory>& runs) {
  constexpr int kTimes = 5;  // an answer may fail now and then, and an empty one looks like the end
  for (int ended = 0; ended < kTimes; ended = has_ended(last) ? ended + 1 : 0)
    std::this_thread::sleep_for(std::chrono::seconds(1));
  int code = static_cast<int>(ExitCode::complete);
  for (const RunDirectory& run : runs) {
    if (!run.has_state())
      fail(ExitCode::environment, "job {} ended and left no state in {}", last, run.root().native());
    const RunState state = run.read_state();
    const bool over = state.status == RunStatus::complete || state.status == RunStatus::failed;
    log::info("{} is {}{}", run.root().native(), name_of(state.status),
              state.message.empty() ? "" : ": " + state.message);
    if (code == 0) code = over ? state.exit_code : static_cast<int>(ExitCode::interrupted);
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
  const std::vector<RunDirectory> runs = run_directories(s);
  const RunDirectory& first = runs.front();
  const std::string text = render(make_script(s, first));
  if (s.options.dry_run) {
    std::cout << text;
    return 0;
  }
  for (const RunDirectory& run : runs) run.create();
  const std::filesystem::path path = first.root() / "batch.sh";
  write_file_atomically(path, text);
  ::chmod(path.c_str(), 0755);

  std::vector<std::string> ids;
  const auto queue = [&](const std::vector<std::string>& arguments) {
    ids.push_back(sbatch(arguments));
    std::cout << ids.back() << std::endl;
    record(s, runs, ids);  // each at once: the next may be refused
  };
  queue({path.native()});
  for (int64_t i = 0; i < s.options.chain; ++i)
    queue({"--dependency=afternotok:" + ids.back(), "--kill-on-invalid-dep=yes", path.native(), ids.back()});
  log::info("submitted: switchyard status {} tells how it stands", first.root().native());
  return s.options.wait ? wait_for(ids.back(), runs) : 0;
}

}  // namespace switchyard
