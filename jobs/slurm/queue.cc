// Run directories, the batch script and the jobs of a submission.
#include "jobs/slurm/queue.h"

#include <sys/stat.h>

#include <iostream>
#include <regex>

#include "io/command.h"
#include "io/file.h"
#include "jobs/slurm/file_system.h"
#include "jobs/slurm/new_files.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submissions.h"
#include "run/lease.h"

namespace switchyard {

BatchScript make_script(const Submission& s, const std::string& mark) {
  const SubmitOptions& o = s.options;
  BatchScript script;
  script.program = own_program();
  script.job = s.entry->name;
  script.arguments = s.arguments;
  script.run = s.run;
  script.then = s.then;
  script.first_index = s.first_index;
  script.mark = mark;
  const bool has_own_log = s.sbatch_options.has(kOutput) || s.sbatch_options.has(kError);
  script.opens_log =
      !mark.empty() && !has_own_log && (s.first_index > 0 || !local_disk_of(s.run_directory(0).root()).empty());
  // Slurm's patterns: %j a job, %A and %a an array's task, %% a percent sign.
  const std::regex percent(s.is_array() ? "%(?!a)" : "%");
  script.log = std::regex_replace(RunDirectory(s.run).attempts_path().native(), percent, "%%") +
               (s.is_array() ? "/%A_%a.log" : "/%j.log");
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
  script.chained = o.chain > 0 || !s.requeues;
  return script;
}

namespace {

void record(const Submission& s, const std::vector<std::string>& ids) {
  if (!s.is_array()) return record_submission(s.run_directory(0), ids);
  for (size_t i = 0; i < s.num_runs(); ++i)
    record_submission(s.run_directory(i), {fmt::format("{}_{}", ids.front(), s.indices[i] - s.first_index)});
}

/// Makes the run directories and queues their jobs, or nothing.
class Queue {
 public:
  Queue(const Submission& s, Environment environment) : s_(s), environment_(std::move(environment)) {}

  /// The jobs' ids: of a chain, or one.
  std::vector<std::string> submit(const std::vector<std::string>& holders) {
    const std::string mark = "submitted-" + LeaseHolder::self().nonce;
    script_ = s_.script.empty() ? s_.run_directory(0).root() / "batch.sh" : s_.script;
    NewFiles files;
    for (size_t i = 0; i < s_.num_runs(); ++i) {
      files.create(s_.run_directory(i), s_.entry->batch->unit_folder);
      files.write(s_.run_directory(i).attempts_path() / mark, "");
    }
    for (const auto& [path, text] : s_.files) files.write(path, text);
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

}  // namespace

std::vector<std::string> queue_jobs(const Submission& s, const Environment& environment,
                                    const std::vector<std::string>& holders) {
  return Queue(s, environment).submit(holders);
}

}  // namespace switchyard
