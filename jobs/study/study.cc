#include "jobs/study/study.h"

#include <algorithm>
#include <set>

#include "io/file.h"
#include "jobs/options/config_file.h"
#include "jobs/slurm/array_indices.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/run_report.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submissions.h"

namespace switchyard {
namespace {

/// Metrics that a local study has written down; none where it has not, or not whole.
std::optional<std::map<std::string, double>> recorded_metrics(const std::filesystem::path& path) {
  if (!file_exists(path)) return std::nullopt;
  const std::optional<Json> json = parse_json_if_whole(read_text_file(path));
  const Json* numbers = json ? find_field(*json, "metrics") : nullptr;
  if (numbers == nullptr) return std::nullopt;
  std::map<std::string, double> metrics;
  for (const auto& [name, value] : numbers->items())
    if (value.is_number()) metrics[name] = value.get<double>();
  return metrics;
}

/// "score: 35 rejects", of runs that left records out.
std::string rejects_text(const std::vector<Stage>& stages) {
  std::string text;
  for (const Stage& stage : stages)
    if (const auto state = RunDirectory(stage.run).find_state(); state && state->rejects > 0)
      text += fmt::format("{}{}: {} reject{}", text.empty() ? "" : "; ", stage.name, state->rejects,
                          state->rejects == 1 ? "" : "s");
  return text;
}

void fill_state(const Study& study, const std::vector<Stage>& stages, StudyPoint& point) {
  if (const auto metrics = recorded_metrics(study.units().file(study.root(), point.number))) {
    point.state = name_of(RunStatus::complete);
    point.message = rejects_text(stages);
    point.metrics = *metrics;
    return;
  }
  const auto unfinished = std::ranges::find_if_not(stages, is_complete);
  if (unfinished == stages.end()) {
    point.state = name_of(RunStatus::complete);
    point.message = rejects_text(stages);
    point.metrics = study.metrics_of(point.number);
    return;
  }
  if (!directory_exists(unfinished->run)) {
    point.state = unfinished == stages.begin() ? "waiting" : "between runs";
    return;
  }
  const RunReport report = report_on(RunDirectory(unfinished->run));
  point.state = report.state;
  point.message = report.message;
  if (!point.message.empty()) point.message = unfinished->name + ": " + point.message;
}

/// Tasks of an array that have not ended, as "17_3"; of a job that is none, itself.
std::set<std::string> live_tasks(const std::string& job) {
  std::set<std::string> live;
  for (const SlurmJob& found : find_jobs(job)) {
    if (found.has_ended()) continue;
    const size_t array = found.id.find('_');
    if (array == std::string::npos) {
      live.insert(found.id);
      continue;
    }
    const std::string tasks = found.id.substr(array + 1);  // of those that wait all together: "3-7,9%2"
    for (const int64_t index : array_indices(tasks, kLargestArraySize)) live.insert(fmt::format("{}_{}", job, index));
  }
  return live;
}

}  // namespace

std::string Stage::config() const {
  std::string text = config_line("run", run.native());
  for (const auto& [option, values] : options)
    for (const std::string& value : values) text += config_line(option, value);
  return text;
}

std::string Stage::command() const {
  std::map<std::string, OptionValues> all = options;
  all["run"] = {run.native()};
  return command_text(job, all);
}

std::string command_text(const std::string& job, const std::map<std::string, OptionValues>& options) {
  std::string command = "switchyard " + job;
  const auto add = [&](const std::string& name, const OptionValues& values) {
    for (const std::string& value : values) {
      const bool is_one_word =
          value.empty() || value.starts_with("-") || value == "true" || value == "false";  // a flag's
      command += fmt::format(" --{}{}{}", name, is_one_word ? "=" : " ", shell_word(value));
    }
  };
  if (const auto run = options.find("run"); run != options.end()) add("run", run->second);
  for (const auto& [name, values] : options)
    if (name != "run") add(name, values);
  return command;
}

bool is_complete(const Stage& stage) {
  const std::optional<RunState> state = RunDirectory(stage.run).find_state();
  return state && state->status == RunStatus::complete;
}

bool has_too_many_rejects(const Stage& stage) {
  const std::optional<RunState> state = RunDirectory(stage.run).find_state();
  return state && state->exit_code == static_cast<int>(ExitCode::too_many_rejects);
}

std::string Study::name_of(int64_t point) const {
  std::vector<std::string> words = values_of(point);
  const std::vector<std::string> names = swept();
  for (size_t i = 0; i < words.size(); ++i) words[i] = fmt::format("{} {}", names[i], words[i]);
  return words.empty() ? "the only one" : fmt::format("{}", fmt::join(words, ", "));
}

WorkUnits Study::units() const {
  WorkUnits units = WorkUnits::of_items(num_points(), 1);
  units.name = units.items = "points";
  units.files = "collected/point-*.json";
  return units;
}

void Study::begin() const {
  const RunDirectory run(root());
  run.create("collected");
  run.check_or_write_manifest(fingerprint(), units(), manifest_info());
  keep_file();
}

StudyTable gather(const Study& study) {
  StudyTable table;
  table.options = study.swept();
  for (int64_t number = 0; number < study.num_points(); ++number) {
    const std::vector<Stage> stages = study.stages(number);
    StudyPoint& point = table.points.emplace_back();
    point.number = number;
    point.options = study.values_of(number);
    point.run = study.folder(number).native();
    for (const Stage& stage : stages) point.command += (point.command.empty() ? "" : " && ") + stage.command();
    try {
      fill_state(study, stages, point);
    } catch (const std::exception& exception) {  // one bad run among many
      point.state = kUnreadable;
      point.message = as_error(exception).what();
    }
  }
  return table;
}

MissingPoints::MissingPoints(const Study& study) {
  std::map<std::string, std::set<std::string>> live;  // by job, or array
  const auto is_live = [&](const RunDirectory& first) {
    const std::vector<std::string> ids = last_submission(first);
    return std::ranges::any_of(ids, [&](const std::string& id) {
      const std::string job = id.substr(0, id.find('_'));
      const auto [known, is_new] = live.try_emplace(job);
      if (is_new) known->second = live_tasks(job);
      return known->second.contains(id);
    });
  };
  for (int64_t point = 0; point < study.num_points(); ++point) {
    const std::vector<Stage> stages = study.stages(point);
    if (std::ranges::all_of(stages, [&](const Stage& stage) { return study.is_done(stage); }))
      ++complete;
    else if (is_live(RunDirectory(stages.front().run)))
      ++in_hand;
    else
      points.push_back(point);
  }
}

}  // namespace switchyard
