#include "jobs/sweep/collector.h"

#include <algorithm>

#include "base/log.h"
#include "io/command.h"
#include "io/file.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/run_report.h"
#include "jobs/sweep/point_metrics.h"

namespace switchyard {
namespace {

/// What does a point's runs again, from where it was done first.
std::string command_of(const std::vector<Stage>& stages) {
  std::string command;
  for (const Stage& stage : stages) {
    if (!command.empty()) command += " && ";
    command += fmt::format("switchyard {} --run {}", stage.job, shell_word(stage.run.native()));
    for (const auto& [name, values] : stage.options)
      for (const std::string& value : values)
        command += value.empty() || value.starts_with("-") ? fmt::format(" --{}={}", name, shell_word(value))
                                                           : fmt::format(" --{} {}", name, shell_word(value));
  }
  return command;
}

/// Metrics that a local sweep has written down; none where it has not, or not whole.
std::optional<Metrics> recorded_metrics(const std::filesystem::path& path) {
  if (!file_exists(path)) return std::nullopt;
  const std::optional<Json> json = parse_json_if_whole(read_text_file(path));
  const Json* numbers = json ? find_field(*json, "metrics") : nullptr;
  if (numbers == nullptr) return std::nullopt;
  Metrics metrics;
  for (const auto& [name, value] : numbers->items())
    if (value.is_number()) metrics[name] = value.get<double>();
  return metrics;
}

void fill_state(const std::vector<Stage>& stages, const std::filesystem::path& recorded, StudyPoint& point) {
  if (const std::optional<Metrics> metrics = recorded_metrics(recorded)) {
    point.state = name_of(RunStatus::complete);
    point.metrics = *metrics;
    return;
  }
  const auto unfinished = std::ranges::find_if_not(stages, is_complete);
  if (unfinished == stages.end()) {
    point.state = name_of(RunStatus::complete);
    point.metrics = metrics_of(stages);
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

void require_metrics(const SweepFile& file, const StudyTable& table) {
  const std::vector<std::string> known = table.metrics();
  if (known.empty()) return;
  for (const auto& [line, name] :
       {std::pair("metric", file.metric), {"retention", file.retention}, {"adaptation", file.adaptation}})
    if (!name.empty() && std::ranges::find(known, name) == known.end())
      fail(ExitCode::usage, "{} = {}: no point has it; there are {}", line, name, fmt::join(known, ", "));
}

}  // namespace

StudyTable gather(const Sweep& sweep) {
  StudyTable table;
  for (const SweptOption& option : sweep.file().swept) table.options.push_back(option.name);
  const WorkUnits units = sweep.units();
  for (int64_t number = 0; number < sweep.points().count(); ++number) {
    const std::vector<Stage> stages = sweep.stages(number);
    StudyPoint& point = table.points.emplace_back();
    point.number = number;
    point.options = sweep.values_of(number);
    point.run = sweep.folder(number).native();
    point.command = command_of(stages);
    try {
      fill_state(stages, units.file(sweep.options().run, number), point);
    } catch (const std::exception& exception) {  // one bad run among many
      point.state = kUnreadable;
      point.message = as_error(exception).what();
    }
  }
  return table;
}

std::string ranking_metric(const SweepFile& file, const StudyTable& table) {
  if (!file.metric.empty()) return file.metric;
  const std::vector<std::string> known = table.metrics();
  for (const char* name : {"eval_loss", "loss"})
    if (std::ranges::find(known, name) != known.end()) return name;
  return known.empty() ? "" : known.front();
}

void collect(const Sweep& sweep) {
  const StudyTable table = gather(sweep);
  const std::filesystem::path root = sweep.options().run;
  write_file_atomically(root / "sweep.csv", to_csv(table));
  write_study_file(root / "sweep.h5", table);
  require_metrics(sweep.file(), table);
  write_file_atomically(RunDirectory(root).report_path(), sweep_report_html(sweep, table));
  const auto complete = std::ranges::count_if(table.points, &StudyPoint::is_complete);
  log::info("{} of {} points are complete: {}", complete, table.points.size(), (root / "report.html").native());
}

}  // namespace switchyard
