#include "jobs/scale/slurm_scale.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include "base/log.h"
#include "base/text.h"
#include "io/command.h"
#include "io/file.h"
#include "jobs/options/time_limit.h"
#include "jobs/slurm/queue.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submit_checks.h"

namespace switchyard {
namespace {

/// A job that has no run of its own: it begins when all of the study's have ended, and collects.
std::string collector_script(const ScaleStudy& study, const Submission& any) {
  BatchScript like = make_script(any, "");
  std::string text = "#!/bin/bash\n";
  text += fmt::format("#SBATCH --job-name={}\n#SBATCH --output={}\n#SBATCH --nodes=1\n#SBATCH --ntasks=1\n",
                      sbatch_word(any.options.name), sbatch_word((study.root() / "collect.log").native()));
  const SubmitOptions& o = any.options;
  const std::pair<SbatchOption, std::string> same[] = {
      {kPartition, o.partition}, {kAccount, o.account}, {kQos, o.qos},
      {kTime, o.time},           {kClusters, ""},       {kReservation, ""}};
  for (const auto& [option, own] : same)
    if (const std::string value = any.sbatch_options.value_of(option).value_or(own); !value.empty())
      text += fmt::format("#SBATCH --{}={}\n", option.name, sbatch_word(value));
  if (!like.modules.empty()) text += kModules;
  for (const std::string& module : like.modules) text += fmt::format("module load {}\n", shell_word(module));
  for (const std::string& line : like.setup) text += line + "\n";
  return text + fmt::format("exec {} collect {}\n", shell_word(like.program), shell_word(study.root().native()));
}

/// A point's job, ready to be queued.
Submission submission_of(const ScaleStudy& study, const Submission& request, int64_t number) {
  const ScalePoint point = study.point(number);
  const Stage stage = study.stages(number).front();
  Submission s = request;
  s.entry = &study.entry();
  s.run = stage.run.native();
  s.requeues = false;
  s.values = stage.options;
  s.values["run"] = {s.run};
  const std::filesystem::path config = study.folder(number) / "run.cfg";
  s.files[config] = stage.config();
  s.arguments = {"--config", config.native()};
  std::ranges::copy(study.options().timeouts(), std::back_inserter(s.arguments));
  s.options.nodes = point.size;
  s.options.tasks_per_node = point.ranks / point.size;
  return s;
}

/// Seconds of the points' time limit; empty where none is given, or it cannot be told.
std::optional<double> limit_of(const Submission& s) {
  const std::optional<int64_t> seconds = limit_seconds(shape_of(s).time);
  return seconds && *seconds > 0 ? std::optional(static_cast<double>(*seconds)) : std::nullopt;
}

}  // namespace

int submit_scale(const ScaleStudy& study, const Submission& request, double max_node_hours) {
  const RunDirectory run(study.root());
  if (run.has_manifest()) run.check_manifest(study.fingerprint());
  const MissingPoints missing(study);
  log::info("{} points: {} complete, {} in hand, {} to submit", study.num_points(), missing.complete, missing.in_hand,
            missing.points.size());
  std::vector<Submission> submissions;
  double node_seconds = 0;
  bool is_bounded = true;
  for (const int64_t number : missing.points) {
    check(submissions.emplace_back(submission_of(study, request, number)));
    const std::optional<double> limit = limit_of(submissions.back());
    is_bounded = is_bounded && limit;
    node_seconds += limit.value_or(0) * static_cast<double>(study.point(number).size);
  }
  const double node_hours = node_seconds / 3600;
  if (max_node_hours > 0 && !is_bounded)
    fail(ExitCode::usage,
         "scale --max-node-hours {}: expected --time, the points' limit, by which they are counted; found none",
         max_node_hours);
  if (max_node_hours > 0 && node_hours > max_node_hours)
    fail(ExitCode::usage, "scale --max-node-hours {}: {} points may take {:.2f} node-hours by their --time",
         max_node_hours, missing.points.size(), node_hours);
  if (!submissions.empty())
    log::info("{}", is_bounded ? fmt::format("at most {:.2f} node-hours, by their --time", node_hours)
                               : "node-hours: not bounded without --time");
  if (study.options().dry_run) {
    for (const int64_t number : missing.points)
      std::cout << fmt::format("point {}: {}\n", number, study.name_of(number));
    return 0;
  }
  if (submissions.empty()) return 0;
  const Environment environment = sbatch_environment(request.chosen_options());
  study.begin();
  for (size_t i = 0; i < submissions.size(); ++i) {
    study.prepare(missing.points[i]);
    queue_jobs(submissions[i], environment, {});
  }
  const std::filesystem::path script = study.root() / "collect.sh";
  write_file_atomically(script, collector_script(study, submissions.front()));
  std::cout << sbatch({"--dependency=singleton", script.native()}, environment) << std::endl;
  log::info("one at a time, in random order; then {}", (study.root() / "report.html").native());
  log::info("watch: switchyard collect {}", shell_word(study.root().native()));
  return 0;
}

}  // namespace switchyard
